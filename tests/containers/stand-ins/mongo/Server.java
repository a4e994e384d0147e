import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import io.netty.channel.Channel;
import java.nio.file.Path;
import java.util.List;

/** mongo-java-server over a file. Arguments: the folder of its data and of users.tsv, then options of mongod. */
class Server {
    public static void main(String[] args) throws Exception {
        var options = List.of(args);
        var users = new Users(Path.of(args[0], "users.tsv"), options.contains("--auth"));
        var backend = new H2Backend(args[0] + "/store.mv") {
            /** One command at a time, on disk before it is answered. */
            @Override
            public synchronized Document handleCommand(Channel channel, String database, String command, Document query) {
                Document answer = users.handle(channel, database, command, query);
                if (answer != null) {
                    return answer;
                }
                try {
                    answer = super.handleCommand(channel, database, command, query).cloneDeeply();
                } catch (MongoServerError e) {
                    throw e;
                } catch (RuntimeException e) { // drivers cannot read an answer without a code
                    String text = String.valueOf(e.getMessage());
                    throw new MongoServerError(text.equals("ns not found") ? 26 : 1, text);
                } finally {
                    commit();
                }
                if (query.containsKey("saslSupportedMechs")) {
                    answer.append("saslSupportedMechs", List.of("SCRAM-SHA-256"));
                }
                return answer;
            }

            @Override
            public void handleClose(Channel channel) {
                users.forget(channel);
                super.handleClose(channel);
            }
        };
        backend.getMvStore().setRetentionTime(0);
        // Its own answer, 4.2, is too old for today's drivers.
        backend.version(new MongoVersion() {
            public List<Integer> getVersionArray() { return List.of(4, 4, 0); }
            public int getWireVersion() { return 9; }
        });
        var server = new MongoServer(backend);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdown));
        String address = options.contains("--bind_ip_all") ? "0.0.0.0" : value(options, "--bind_ip", "0.0.0.0");
        server.bind(address, Integer.parseInt(value(options, "--port", "27017")));
    }

    private static String value(List<String> options, String name, String absent) {
        int at = options.indexOf(name);
        return at < 0 ? absent : options.get(at + 1);
    }
}
