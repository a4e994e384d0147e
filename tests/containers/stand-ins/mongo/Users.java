import de.bwaldvogel.mongo.bson.BinData;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import io.netty.channel.Channel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import javax.crypto.Mac;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Who may sign in (SCRAM-SHA-256, RFC 5802 and 7677), and what they may then do. A file of lines: database, name, password,
 * actions, with tabs between them; * is every action.
 */
class Users {
    private static final int ITERATIONS = 15_000;
    private static final int AUTHENTICATION_FAILED = 18, UNAUTHORIZED = 13;
    /** Anybody may; the first ones are how a conversation begins. */
    private static final Set<String> FREE = Set.of("hello", "ismaster", "isMaster", "ping", "buildInfo", "buildinfo",
        "whatsmyuri", "endSessions", "getMore", "killCursors", "getLastError");
    /** The action that a command needs, by MongoDB's manual. Of those not named here only an administrator has the right. */
    private static final Map<String, String> ACTIONS = Map.ofEntries(
        Map.entry("find", "find"), Map.entry("aggregate", "find"), Map.entry("count", "find"),
        Map.entry("distinct", "find"), Map.entry("insert", "insert"), Map.entry("update", "update"),
        Map.entry("delete", "remove"), Map.entry("create", "createCollection"), Map.entry("collMod", "collMod"),
        Map.entry("createIndexes", "createIndex"), Map.entry("listCollections", "listCollections"),
        Map.entry("listIndexes", "listIndexes"), Map.entry("collStats", "collStats"), Map.entry("dbStats", "dbStats"));

    record User(String database, String name, String password, Set<String> actions) {}

    /** A sign-in under way. */
    record Conversation(User user, String firstBare, String serverFirst, byte[] salted, String nonce) {}

    private final Map<String, User> users = new HashMap<>();
    private final Map<Channel, Conversation> conversations = new ConcurrentHashMap<>();
    private final Map<Channel, User> signedIn = new ConcurrentHashMap<>();
    private final SecureRandom random = new SecureRandom();

    Users(Path file) throws IOException {
        for (String line : Files.readAllLines(file)) {
            String[] parts = line.split("\t");
            users.put(parts[0] + "." + parts[1],
                new User(parts[0], parts[1], parts[2], Set.of(parts[3].split(","))));
        }
    }

    void forget(Channel channel) {
        conversations.remove(channel);
        signedIn.remove(channel);
    }

    /** The answer to a command about signing in; null for other commands, which then are permitted. */
    Document handle(Channel channel, String database, String command, Document query) {
        try {
            return switch (command) {
                case "saslStart" -> start(channel, database, query);
                case "saslContinue" -> proceed(channel, query);
                default -> {
                    permit(channel, database, command);
                    yield null;
                }
            };
        } catch (GeneralSecurityException e) {
            throw failed();
        }
    }

    private void permit(Channel channel, String database, String command) {
        if (FREE.contains(command)) {
            return;
        }
        User user = signedIn.get(channel);
        if (user == null) {
            throw new MongoServerError(UNAUTHORIZED, "Unauthorized", "command " + command + " requires authentication");
        }
        boolean all = user.actions().contains("*");
        boolean own = user.database().equals(database) && user.actions().contains(ACTIONS.getOrDefault(command, "?"));
        if (!all && !own) {
            throw new MongoServerError(UNAUTHORIZED, "Unauthorized",
                "not authorized on " + database + " to execute command " + command);
        }
    }

    private Document start(Channel channel, String database, Document query) throws GeneralSecurityException {
        if (!"SCRAM-SHA-256".equals(query.get("mechanism"))) {
            throw new MongoServerError(334, "MechanismUnavailable", "only SCRAM-SHA-256");
        }
        String firstBare = payload(query).replaceFirst("^n,,", "");
        Map<String, String> fields = fields(firstBare);
        User user = users.get(database + "." + fields.get("n"));
        if (user == null) {
            throw failed();
        }
        byte[] salt = new byte[28];
        random.nextBytes(salt);
        byte[] tail = new byte[18];
        random.nextBytes(tail);
        String nonce = fields.get("r") + Base64.getEncoder().encodeToString(tail);
        String serverFirst =
            "r=" + nonce + ",s=" + Base64.getEncoder().encodeToString(salt) + ",i=" + ITERATIONS;
        var spec = new PBEKeySpec(user.password().toCharArray(), salt, ITERATIONS, 256);
        byte[] salted = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256").generateSecret(spec).getEncoded();
        conversations.put(channel, new Conversation(user, firstBare, serverFirst, salted, nonce));
        return answer(serverFirst, false);
    }

    private Document proceed(Channel channel, Document query) throws GeneralSecurityException {
        Conversation known = conversations.remove(channel);
        String text = payload(query);
        if (text.isEmpty() && signedIn.containsKey(channel)) {
            return answer("", true);
        }
        int end = text.lastIndexOf(",p=");
        if (known == null || end < 0 || !known.nonce().equals(fields(text).get("r"))) {
            throw failed();
        }
        byte[] message = (known.firstBare() + "," + known.serverFirst() + "," + text.substring(0, end)).getBytes(UTF_8);
        byte[] clientKey = hmac(known.salted(), "Client Key".getBytes(UTF_8));
        byte[] storedKey = MessageDigest.getInstance("SHA-256").digest(clientKey);
        byte[] signature = hmac(storedKey, message);
        byte[] proof = new byte[clientKey.length];
        for (int i = 0; i < proof.length; i++) {
            proof[i] = (byte) (clientKey[i] ^ signature[i]);
        }
        if (!MessageDigest.isEqual(proof, Base64.getDecoder().decode(text.substring(end + 3)))) {
            throw failed();
        }
        signedIn.put(channel, known.user());
        byte[] server = hmac(hmac(known.salted(), "Server Key".getBytes(UTF_8)), message);
        return answer("v=" + Base64.getEncoder().encodeToString(server), true);
    }

    private static Document answer(String payload, boolean done) {
        var answer = new Document("conversationId", 1);
        answer.append("done", done);
        answer.append("payload", new BinData(payload.getBytes(UTF_8)));
        answer.append("ok", 1.0);
        return answer;
    }

    private static String payload(Document query) {
        Object payload = query.get("payload");
        return new String(payload instanceof BinData data ? data.getData() : (byte[]) payload, UTF_8);
    }

    private static Map<String, String> fields(String text) {
        Map<String, String> fields = new HashMap<>();
        for (String part : List.of(text.split(","))) {
            if (part.length() > 1) {
                fields.put(part.substring(0, 1), part.substring(2));
            }
        }
        return fields;
    }

    private static byte[] hmac(byte[] key, byte[] text) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text);
    }

    private static MongoServerError failed() {
        return new MongoServerError(AUTHENTICATION_FAILED, "AuthenticationFailed", "Authentication failed.");
    }
}
