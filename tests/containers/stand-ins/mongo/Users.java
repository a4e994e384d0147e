import de.bwaldvogel.mongo.bson.BinData;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import io.netty.channel.Channel;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import javax.crypto.Mac;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;

import static java.nio.charset.StandardCharsets.UTF_8;
import static java.nio.file.StandardCopyOption.ATOMIC_MOVE;
import static java.util.stream.Collectors.joining;

/**
 * Users, who sign in with SCRAM-SHA-256 (RFC 5802 and 7677), and the actions of their roles. Both are in a file of lines with tabs
 * between the fields: "role", database, name, actions; "user", database, name, password, roles. An action is COLLECTION/ACTION, and
 * /ACTION in every collection. The role root has every action.
 */
class Users {
    private static final int ITERATIONS = 15_000;
    private static final int BAD_VALUE = 2, USER_NOT_FOUND = 11, UNAUTHORIZED = 13, AUTHENTICATION_FAILED = 18;
    private static final int ROLE_NOT_FOUND = 31, ROLE_EXISTS = 51002, USER_EXISTS = 51003;
    private static final Key ROOT = new Key("admin", "root");
    /** Permitted without a login; the first ones are how a conversation begins. */
    private static final Set<String> FREE = Set.of("hello", "ismaster", "isMaster", "ping", "buildInfo", "buildinfo",
        "whatsmyuri", "endSessions", "getMore", "killCursors", "getLastError");
    /** The action that a command needs, by MongoDB's manual. Of those not named here only an administrator has the right. */
    private static final Map<String, String> ACTIONS = Map.ofEntries(
        Map.entry("find", "find"), Map.entry("aggregate", "find"), Map.entry("count", "find"),
        Map.entry("distinct", "find"), Map.entry("insert", "insert"), Map.entry("update", "update"),
        Map.entry("findAndModify", "update"), Map.entry("delete", "remove"),
        Map.entry("create", "createCollection"), Map.entry("collMod", "collMod"),
        Map.entry("createIndexes", "createIndex"), Map.entry("listCollections", "listCollections"),
        Map.entry("listIndexes", "listIndexes"), Map.entry("collStats", "collStats"), Map.entry("dbStats", "dbStats"));

    /** Users and roles have a database and a name as key. */
    record Key(String database, String name) {}

    record User(Key key, String password, List<Key> roles) {}

    /** A sign-in under way. */
    record Conversation(User user, String firstBare, String serverFirst, byte[] salted, String nonce) {}

    private static final Comparator<Key> ORDER = Comparator.comparing(Key::database).thenComparing(Key::name);

    private final Path file;
    /** Without --auth every command is permitted. */
    private final boolean auth;
    private final Map<Key, User> users = new TreeMap<>(ORDER);
    private final Map<Key, Set<String>> roles = new TreeMap<>(ORDER);
    private final Map<Channel, Conversation> conversations = new ConcurrentHashMap<>();
    private final Map<Channel, Key> signedIn = new ConcurrentHashMap<>();
    private final SecureRandom random = new SecureRandom();

    Users(Path file, boolean auth) throws IOException {
        this.file = file;
        this.auth = auth;
        for (String line : Files.exists(file) ? Files.readAllLines(file) : List.<String>of()) {
            String[] parts = line.split("\t");
            var key = new Key(parts[1], parts[2]);
            if (parts[0].equals("role")) {
                roles.put(key, Set.of(parts[3].split(",")));
            } else {
                var named = Stream.of(parts[4].split(",")).map(role -> role.split("[.]", 2));
                users.put(key, new User(key, parts[3], named.map(role -> new Key(role[0], role[1])).toList()));
            }
        }
    }

    void forget(Channel channel) {
        conversations.remove(channel);
        signedIn.remove(channel);
    }

    /** The answer to a command about users; null for other commands, which then are permitted. */
    synchronized Document handle(Channel channel, String database, String command, Document query) {
        try {
            return switch (command) {
                case "saslStart" -> start(channel, database, query);
                case "saslContinue" -> proceed(channel, query);
                default -> {
                    permit(channel, database, command, query);
                    yield manage(database, command, query);
                }
            };
        } catch (GeneralSecurityException e) {
            throw failed();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void permit(Channel channel, String database, String command, Document query) {
        if (!auth || FREE.contains(command)) {
            return;
        }
        // The localhost exception: the first user is created without a login.
        var remote = (InetSocketAddress) channel.remoteAddress();
        if (users.isEmpty() && database.equals("admin") && command.equals("createUser") && remote.getAddress().isLoopbackAddress()) {
            return;
        }
        Key key = signedIn.get(channel);
        if (key == null) {
            throw new MongoServerError(UNAUTHORIZED, "Unauthorized", "command " + command + " requires authentication");
        }
        for (Key role : users.get(key).roles()) {
            Set<String> actions = roles.getOrDefault(role, Set.of());
            String action = ACTIONS.getOrDefault(command, "?");
            boolean own = actions.contains("/" + action) || actions.contains(query.get(command) + "/" + action);
            if (own && role.database().equals(database) || role.equals(ROOT)) {
                return;
            }
        }
        throw new MongoServerError(UNAUTHORIZED, "Unauthorized",
            "not authorized on " + database + " to execute command " + command);
    }

    /** Commands that read or change users and roles; null for others. */
    private Document manage(String database, String command, Document query) throws IOException {
        var key = query.get(command) instanceof String name ? new Key(database, name) : null;
        switch (command) {
            case "usersInfo" -> {
                User user = users.get(named(database, query.get(command), "user"));
                return found("users", user == null ? null : new Document("user", user.key().name()));
            }
            case "rolesInfo" -> {
                Key role = named(database, query.get(command), "role");
                return found("roles", roles.containsKey(role) ? new Document("role", role.name()) : null);
            }
            case "createUser" -> {
                require(!users.containsKey(key), USER_EXISTS, "User \"" + key + "\" already exists");
                users.put(key, changed(new User(key, null, List.of()), query));
            }
            case "updateUser" -> {
                require(users.containsKey(key), USER_NOT_FOUND, "User " + key + " not found");
                users.put(key, changed(users.get(key), query));
            }
            case "createRole" -> {
                require(!roles.containsKey(key), ROLE_EXISTS, "Role \"" + key + "\" already exists");
                roles.put(key, actions(database, query));
            }
            case "updateRole" -> {
                require(roles.containsKey(key), ROLE_NOT_FOUND, "Role " + key + " not found");
                roles.put(key, actions(database, query));
            }
            default -> {
                return null;
            }
        }
        save();
        return new Document("ok", 1.0);
    }

    private static Key named(String database, Object named, String field) {
        return named instanceof Document in ? new Key((String) in.get("db"), (String) in.get(field)) : new Key(database, (String) named);
    }

    private static Document found(String list, Document one) {
        var answer = new Document(list, one == null ? List.of() : List.of(one));
        answer.append("ok", 1.0);
        return answer;
    }

    private static void require(boolean holds, int code, String message) {
        if (!holds) {
            throw new MongoServerError(code, message);
        }
    }

    private User changed(User before, Document query) {
        Object password = query.containsKey("pwd") ? query.get("pwd") : before.password();
        var given = ((Collection<?>) query.getOrDefault("roles", List.of())).stream();
        List<Key> named = given.map(role -> named(before.key().database(), role, "role")).toList();
        require(password instanceof String text && !text.isEmpty(), BAD_VALUE, "a user needs a password");
        for (Key role : named) {
            require(role.equals(ROOT) || roles.containsKey(role), ROLE_NOT_FOUND, "Role " + role + " not found");
        }
        return new User(before.key(), (String) password, named.isEmpty() ? before.roles() : named);
    }

    private static Set<String> actions(String database, Document query) {
        Set<String> actions = new TreeSet<>();
        for (Object one : (Collection<?>) query.get("privileges")) {
            var privilege = (Document) one;
            var resource = (Document) privilege.get("resource");
            require(database.equals(resource.get("db")), BAD_VALUE, "a role of " + database + " gives rights in another database");
            ((Collection<?>) privilege.get("actions")).forEach(action -> actions.add(resource.get("collection") + "/" + action));
        }
        return actions;
    }

    /** Written beside and renamed, so that an interruption leaves the file before or the file after. */
    private void save() throws IOException {
        var lines = new ArrayList<String>();
        roles.forEach((key, actions) ->
            lines.add(String.join("\t", "role", key.database(), key.name(), String.join(",", actions))));
        users.forEach((key, user) -> {
            String named = user.roles().stream().map(role -> role.database() + "." + role.name()).collect(joining(","));
            lines.add(String.join("\t", "user", key.database(), key.name(), user.password(), named));
        });
        Path beside = file.resolveSibling("users.new");
        Files.write(beside, lines);
        Files.move(beside, file, ATOMIC_MOVE);
    }

    private Document start(Channel channel, String database, Document query) throws GeneralSecurityException {
        if (!"SCRAM-SHA-256".equals(query.get("mechanism"))) {
            throw new MongoServerError(334, "MechanismUnavailable", "only SCRAM-SHA-256");
        }
        String firstBare = payload(query).replaceFirst("^n,,", "");
        Map<String, String> fields = fields(firstBare);
        User user = users.get(new Key(database, fields.get("n")));
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
        signedIn.put(channel, known.user().key());
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
