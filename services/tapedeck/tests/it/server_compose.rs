//! Runs the services of `docker-compose.yml` as plain processes with its environment, commands and health checks, on a real
//! broker and a server with MongoDB's protocol.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Instant,
};

use crate::{
    compose_file::{Compose, Service, filled, ours, root},
    process::{DEADLINE, get, server, wait_until},
};

/// Translates addresses in the network of the containers to addresses on this host.
struct LocalAddresses {
    /// Text in the file, and its replacement.
    replacements: Vec<(String, String)>,
}

impl LocalAddresses {
    fn new(compose: &Compose, kafka: &str, mongo: &str) -> Self {
        let broker = kafka.trim_start_matches("kafka://").split(['/', '?']).next().unwrap();
        let (host, port) = broker.rsplit_once(':').unwrap();
        let stores = compose.ours().filter_map(|(_, service)| service.environment.get("STORE_URL").cloned());
        let database = format!("compose_{}", std::process::id());
        let mongo = mongo.split('?').next().unwrap().trim_end_matches('/');
        // The stand-in for MongoDB has no users.
        let mut replacements: Vec<_> = stores.map(|store| (store, format!("{mongo}/{database}"))).collect();
        replacements.extend([
            ("http://elasticsearch:9200".to_owned(), server("ELASTIC_URL")),
            (
                compose.services["batch"].environment["ANALYTICS_URL"].clone(),
                format!("sqlite:{}", std::env::temp_dir().join(format!("{database}.db")).display()),
            ),
            ("kafka:9092".to_owned(), broker.to_owned()),
            ("kafka 9092".to_owned(), format!("{host} {port}")),
            ("/opt/tapedeck/ready.sh".to_owned(), root().join("deploy/kafka/ready.sh").display().to_string()),
        ]);
        for name in ours() {
            let listen = &compose.services[name].environment["LISTEN"];
            let (_, port) = listen.rsplit_once(':').unwrap();
            // Released just now; another process is unlikely to get the same port before the service.
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            replacements.push((listen.clone(), format!("127.0.0.1:{free}")));
            replacements.push((format!("http://{name}:{port}"), format!("http://127.0.0.1:{free}")));
        }
        Self { replacements }
    }

    fn of(&self, text: &str) -> String {
        self.replacements.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    fn environment(&self, service: &Service) -> BTreeMap<String, String> {
        // The image has no certificates.
        let without = ("SSL_CERT_FILE".to_owned(), "/dev/null".to_owned());
        let given = service.environment.iter().filter(|(name, _)| !name.ends_with("_PASSWORD"));
        let given = given.map(|(name, value)| (name.clone(), self.of(value)));
        given.chain([without]).collect()
    }
}

/// The folder of the binaries. A test run of the whole workspace has built all of them, one of this package only its own, so
/// missing ones are built addresses. (Building them in every run would compile them twice, as cargo selects the features of
/// dependencies by the packages of a build.)
fn binaries() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_tapedeck")).parent().unwrap();
    if ours().any(|name| !folder.join(name).exists()) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--bins"]).current_dir(root());
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        if cfg!(feature = "kafka-tls") {
            cargo.args(["--features", "kafka-tls"]);
        }
        assert!(cargo.status().unwrap().success());
    }
    folder.to_owned()
}

/// One service, killed when dropped.
struct Running {
    name: &'static str,
    child: Child,
    environment: BTreeMap<String, String>,
    binaries: PathBuf,
    health: Vec<String>,
}

impl Running {
    fn start(name: &'static str, service: &Service, addresses: &LocalAddresses, binaries: &Path) -> Self {
        let environment = addresses.environment(service);
        let health = service.healthcheck.as_ref().unwrap().test[1..].to_vec();
        let binaries = binaries.to_owned();
        let mut command = Command::new(binaries.join(&service.command[0]));
        let child = command
            .args(&service.command[1..])
            .env_clear()
            .envs(&environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self { name, child, environment, binaries, health }
    }

    /// Equivalent of `docker compose exec SERVICE COMMAND...`.
    fn exec(&self, command: &[&str]) -> Output {
        let binary = self.binaries.join(command[0]);
        Command::new(binary).args(&command[1..]).env_clear().envs(&self.environment).output().unwrap()
    }

    fn is_healthy(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "{} ended with {ended:?}", self.name);
        let health: Vec<&str> = self.health.iter().map(String::as_str).collect();
        self.exec(&health).status.success()
    }

    /// Equivalent of `docker compose stop`.
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{} ended with {status}", self.name);
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "{} did not end", self.name);
            std::thread::sleep(std::time::Duration::from_millis(20)); // up to the deadline
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stdout_of(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The commands that the README runs with `docker compose run consumer tapedeck`.
fn backup_and_restore(consumer: &Running) {
    let folder = tempfile::tempdir().unwrap();
    let [archive, data] = ["archive", "data"].map(|name| folder.path().join(name).display().to_string());
    let tapedeck = |command: &[&str]| stdout_of(&consumer.exec(&[&["tapedeck"], command].concat()));
    assert!(tapedeck(&["export", &archive]).contains("exported"));
    assert!(tapedeck(&["import", &archive]).contains(": 0 new"), "the exported rows are already stored");
    assert!(tapedeck(&["copy", &consumer.environment["STORE_URL"], &data]).contains(" 0 already stored"));
    assert!(tapedeck(&["copy", &data]).contains(": 0 new"), "the copied rows are already stored");
}

#[test]
#[ignore = "needs Kafka and MongoDB servers, which KAFKA_URL and MONGO_URL name: `make test-servers`"]
fn the_services_of_the_compose_file_show_prices_on_the_page() {
    let (kafka, mongo) = (server("KAFKA_URL"), server("MONGO_URL"));
    let mut variables = filled();
    // Tests send no requests to venues.
    variables.insert("PROVIDER".to_owned(), "simulated".to_owned());
    let compose = Compose::read(&variables);
    let addresses = LocalAddresses::new(&compose, &kafka, &mongo);
    let binaries = binaries();

    let ready = addresses.of(&compose.services["kafka"].healthcheck.as_ref().unwrap().test[1..].join(" "));
    let ready: Vec<&str> = ready.split(' ').collect();
    assert!(
        Command::new(ready[0]).args(&ready[1..]).status().unwrap().success(),
        "the broker is not healthy"
    );

    let mut running: Vec<Running> =
        compose.ours().map(|(name, service)| Running::start(name, service, &addresses, &binaries)).collect();
    for service in &mut running {
        let name = service.name;
        wait_until(&format!("{name} is healthy"), || service.is_healthy());
    }
    let web = running.pop().unwrap();
    let pages = web.environment["TAPEDECK_URL"].clone();
    let json = |path: &str| -> serde_json::Value {
        let body = get(&format!("{pages}{path}")).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_str(&body).unwrap()
    };
    let price = || json("/v1/quotes?symbols=NVDA").pointer("/quotes/0/price").cloned();
    wait_until("NVDA has a price", || price().is_some());
    let first = price();
    wait_until("the price moves", || price() != first);
    wait_until("the ticks are stored", || {
        json("/v1/ticks?symbol=NVDA&limit=100")["ticks"].as_array().is_some_and(|ticks| ticks.len() > 10)
    });
    let board = get(&format!("{pages}/")).unwrap();
    assert!(board.contains("/symbols/NVDA") && board.contains("SIMULATED"), "the page shows no prices");

    let owners = || -> BTreeSet<String> {
        let system = json("/v1/system");
        let partitions = system["partitions"].as_array().unwrap();
        partitions.iter().map(|known| known["owner"].as_str().unwrap_or("none").to_owned()).collect()
    };
    let share = |count| owners().len() == count && !owners().contains("none");
    wait_until("one consumer owns all partitions", || share(1));
    let other_ports = LocalAddresses::new(&compose, &kafka, &mongo);
    let replica = Running::start("consumer", &compose.services["consumer"], &other_ports, &binaries);
    wait_until("two consumers share the partitions", || share(2));
    replica.stop();
    wait_until("one consumer owns all partitions again", || share(1));

    // The command line in each service uses the service's environment.
    running.push(web);
    wait_until("the status has the consumer", || {
        running.iter().all(|service| {
            let status = service.exec(&["tapedeck", "status"]);
            String::from_utf8_lossy(&status.stdout).contains("consumer")
        })
    });
    for service in &running {
        assert!(stdout_of(&service.exec(&["tapedeck", "topics"])).contains("stock-prices"));
        assert!(stdout_of(&service.exec(&["tapedeck", "--help"])).contains("health"));
        let command = &compose.services[service.name].command;
        let help: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        assert!(stdout_of(&service.exec(&help)).contains("LOG_URL"));
    }
    wait_until("the group has committed", || {
        let offsets = running[1].exec(&["tapedeck", "topics", "offsets"]);
        String::from_utf8_lossy(&offsets.stdout).contains("stock-prices[")
    });

    backup_and_restore(&running[1]);

    let probe = running.pop().unwrap();
    let health = |binary: &Path, environment: &BTreeMap<String, String>| {
        let mut command = Command::new(binary.join("tapedeck"));
        command.arg("health").env_clear().envs(environment).output().unwrap()
    };
    let (binary, environment) = (probe.binaries.clone(), probe.environment.clone());
    running.into_iter().for_each(Running::stop);
    probe.stop();
    let checked = health(&binary, &environment);
    assert!(!checked.status.success(), "the health check succeeds without a service");
    assert!(String::from_utf8_lossy(&checked.stderr).contains("no service responds"));
}
