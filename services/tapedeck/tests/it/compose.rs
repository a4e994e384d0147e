//! Tests `docker-compose.yml` against the README and against the settings of the binaries.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::PermissionsExt,
    process::Command,
};

use clap::{CommandFactory, Parser};
use consumer::ConsumerArgs;
use producer::ProducerArgs;
use tapedeck::Cli;
use url::Url;
use web::WebArgs;

use crate::compose_file::{Compose, OURS, Service, example, filled, root, text, used};

fn compose() -> Compose {
    Compose::read(&filled())
}

/// The command line of a service.
fn settings(service: &str) -> clap::Command {
    match service {
        "producer" => ProducerArgs::command(),
        "consumer" => ConsumerArgs::command(),
        "web" => WebArgs::command(),
        other => panic!("{other} is not a service of Tapedeck"),
    }
}

/// Environment variable -> flag, of a command and its subcommands.
fn variables(command: &clap::Command) -> BTreeMap<String, String> {
    let of = |argument: &clap::Arg| {
        Some((argument.get_env()?.to_str()?.to_owned(), format!("--{}", argument.get_long()?)))
    };
    let below = command.get_subcommands().flat_map(variables);
    command.get_arguments().filter_map(of).chain(below).collect()
}

/// The environment of a service as a command line.
fn command_line(name: &str, service: &Service) -> Vec<String> {
    let flags = variables(&settings(name));
    let own = service
        .environment
        .iter()
        .filter_map(|(variable, value)| flags.get(variable).map(|flag| [flag.clone(), value.clone()]));
    std::iter::once(name.to_owned()).chain(own.flatten()).collect()
}

fn seconds(text: &str) -> u32 {
    let number = text.strip_suffix('s').unwrap_or_else(|| panic!("{text} has no unit"));
    number.parse().unwrap()
}

#[test]
fn every_service_is_checked_limited_confined_and_restarted() {
    for (name, service) in compose().services {
        assert_eq!(service.restart, "unless-stopped", "{name}");
        assert!(service.read_only, "{name}");
        assert_eq!(service.cap_drop, ["ALL"], "{name}");
        assert_eq!(service.security_opt, ["no-new-privileges:true"], "{name}");
        let uid: u32 = service.user.split(':').next().unwrap().parse().unwrap();
        assert_ne!(uid, 0, "{name} runs as root");
        assert!(service.mem_limit.ends_with(['m', 'g']), "{name}");
        assert!((50..=1_000).contains(&service.pids_limit), "{name}");
        assert_eq!(service.logging.driver, "json-file", "{name}");
        for option in ["max-size", "max-file"] {
            assert!(
                service.logging.options.contains_key(option),
                "the log of {name} is not rotated: no {option}"
            );
        }
        let health = service.healthcheck;
        assert_eq!(health.test[0], "CMD", "{name}: not through a shell, which the image may not have");
        assert!(seconds(&health.timeout) <= seconds(&health.interval).max(10), "{name}");
        assert!(health.retries >= 3 && seconds(&health.start_period) >= 30, "{name}");
    }
}

#[test]
fn the_file_is_accepted_by_older_versions_of_compose() {
    let text = text("docker-compose.yml");
    let top = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()));
    for line in top {
        let key = line.split(':').next().unwrap();
        let known = ["services", "networks", "volumes"].contains(&key) || key.starts_with("x-");
        assert!(known, "{key} at the top");
    }
    assert!(!text.contains("container_name"), "a fixed name prevents a second instance and replicas");
}

#[test]
fn images_are_pinned_and_those_of_services_have_the_version_of_the_workspace() {
    let dockerfile = text("Dockerfile");
    for (name, service) in compose().services {
        let (image, tag) = service.image.rsplit_once(':').unwrap_or_else(|| panic!("{name} has no tag"));
        if OURS.contains(&name.as_str()) {
            assert_eq!((image, tag), (format!("tapedeck-{name}").as_str(), env!("CARGO_PKG_VERSION")));
            let build = service.build.unwrap();
            assert_eq!((build.context.as_str(), build.target.as_str()), (".", name.as_str()));
            assert!(dockerfile.contains(&format!(" AS {name}\n")), "the Dockerfile has no stage {name}");
            assert!(dockerfile.contains(&format!("/out/{name} /usr/local/bin/")));
        } else {
            let version = tag.trim_start_matches('v').split('.').filter(|part| part.parse::<u32>().is_ok());
            assert!(version.count() >= 2, "{name}: {tag} is not a version");
            assert!(service.build.is_none(), "{name}");
        }
    }
}

#[test]
fn the_variables_of_the_file_and_the_example_are_the_same_with_the_same_defaults() {
    let example = example();
    let mut names = BTreeSet::new();
    for (name, absent) in used() {
        if is_renamed(&name) {
            assert_eq!(absent, ":-", "{name} is passed on to be refused");
            continue;
        }
        let default = example.get(&name).unwrap_or_else(|| panic!("{name} is not in .env.example"));
        if default.is_empty() {
            assert_eq!(absent, ":?is not set, run make env", "{name} is generated, and required for a start");
        } else {
            assert_eq!(absent, format!(":-{default}"), "{name}");
        }
        names.insert(name);
    }
    let documented: BTreeSet<String> = example.into_keys().collect();
    assert_eq!(names, documented, "some of the documented variables are not used");
}

/// Whether a variable has another name since an earlier version.
fn is_renamed(name: &str) -> bool {
    service_runtime::RENAMED_VARIABLES.iter().any(|(before, _)| *before == name)
}

#[test]
fn every_variable_of_a_service_is_a_valid_setting_of_its_binary() {
    let tapedeck = variables(&Cli::command());
    let compose = compose();
    for (name, service) in compose.ours() {
        assert_eq!(service.command, [name], "the command is the binary");
        let own = variables(&settings(name));
        for variable in service.environment.keys() {
            let known = own.contains_key(variable) || tapedeck.contains_key(variable) || is_renamed(variable);
            assert!(known, "neither {name} nor tapedeck has the variable {variable}");
        }
        settings(name).try_get_matches_from(command_line(name, service)).unwrap();
    }
    let parsed = ProducerArgs::parse_from(command_line("producer", &compose.services["producer"]));
    let bare = ProducerArgs::parse_from(["producer", "--log", "kafka://kafka:9092"]);
    assert_eq!(parsed.producer.watchlist, bare.producer.watchlist, "the default differs from the binary's");
    assert_eq!(parsed.producer.simulated.rate, bare.producer.simulated.rate);
    let parsed = ConsumerArgs::parse_from(command_line("consumer", &compose.services["consumer"]));
    let bare =
        ConsumerArgs::parse_from(["consumer", "--log", "kafka://kafka:9092", "--store", "mongodb://mongodb"]);
    assert_eq!(parsed.consumer.retention_days, bare.consumer.retention_days);
}

#[test]
fn the_shutdown_of_a_service_ends_before_the_grace_period() {
    for (name, service) in compose().ours() {
        let grace = service.stop_grace_period.as_deref().map(seconds);
        let limit = service_runtime::SHUTDOWN_LIMIT.as_secs();
        assert!(grace.is_some_and(|grace| u64::from(grace) > limit), "{name}: {grace:?} s, {limit} s");
    }
}

#[test]
fn a_backup_runs_in_a_service_that_has_the_store_and_the_command_line() {
    let compose = compose();
    let readme = text("README.md");
    let mut lines = readme.lines().filter(|line| line.trim_start().starts_with("docker compose run "));
    let line = lines.next().expect("the README has no backup command");
    let (before, _) = line.split_once(" tapedeck ").unwrap();
    let (_, name) = before.rsplit_once(' ').unwrap();
    assert!(compose.services[name].environment.contains_key("STORE_URL"), "{name} has no store");
    for option in ["--rm", "--no-deps", "--user \"$(id -u):$(id -g)\"", ":/folder\""] {
        assert!(line.contains(option), "{line} lacks {option}");
    }
    // Every image has the command line.
    assert!(text("Dockerfile").contains("COPY --from=build /out/tapedeck /usr/local/bin/\n"));
}

#[test]
fn health_checks_use_the_address_of_the_service() {
    for (name, service) in compose().ours() {
        let test = &service.healthcheck.test[1..];
        assert_eq!(test, ["tapedeck", "health"], "{name}");
        // Both have the same variable.
        let listen = &service.environment["LISTEN"];
        assert!(listen.starts_with("0.0.0.0:"), "{name} cannot be reached from outside its container");
        assert_eq!(variables(&settings(name))["LISTEN"], "--listen");
        Cli::try_parse_from([&test[0], &test[1], "--listen", listen]).unwrap();
    }
}

#[test]
fn addresses_are_those_of_healthy_services_that_listen() {
    let compose = compose();
    let kafka = &compose.services["kafka"].environment;
    assert!(kafka["KAFKA_LISTENERS"].split(',').any(|listener| listener == "PLAINTEXT://:9092"));
    assert_eq!(kafka["KAFKA_ADVERTISED_LISTENERS"], "PLAINTEXT://kafka:9092");
    for (name, service) in compose.ours() {
        assert_eq!(service.environment["LOG_URL"], "kafka://kafka:9092", "{name}");
        let pages = Url::parse(&service.environment["TAPEDECK_URL"]).unwrap();
        let listen = &compose.services["web"].environment["LISTEN"];
        assert_eq!(pages.host_str(), Some("web"));
        assert!(listen.ends_with(&format!(":{}", pages.port().unwrap())), "{name}");
        let mut needs = vec!["kafka"];
        if let Some(store) = service.environment.get("STORE_URL") {
            let store = Url::parse(store).unwrap();
            let mongodb = &compose.services["mongodb"];
            assert_eq!((store.host_str(), store.port()), (Some("mongodb"), Some(27017)), "{name}");
            assert_eq!(store.path(), format!("/{}", mongodb.environment["MONGO_INITDB_DATABASE"]));
            assert_eq!(Some(store.username()), Some("tapedeck"), "the user must not be the administrator");
            assert_eq!(store.password(), Some(mongodb.environment["TAPEDECK_PASSWORD"].as_str()));
            needs.push("mongodb");
        }
        for server in needs {
            assert_eq!(service.depends_on[server].condition, "service_healthy", "{name} on {server}");
            let shared = |network: &String| compose.services[server].networks.contains(network);
            assert!(service.networks.iter().any(shared), "{name} cannot reach {server}");
        }
    }
}

#[test]
fn only_pages_are_published_and_only_on_this_host() {
    let compose = compose();
    for (name, service) in &compose.services {
        for port in &service.ports {
            let listens = service.environment.iter().any(|(variable, value)| {
                ["LISTEN", "MP_UI_BIND_ADDR"].contains(&variable.as_str())
                    && value.rsplit(':').next() == port.rsplit(':').next()
            });
            assert!(listens, "{name} publishes {port} and does not listen there");
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
        let is_published = !service.ports.is_empty();
        assert_eq!(is_published, ["web", "mailpit"].contains(&name.as_str()), "{name}");
        assert_eq!(!service.profiles.is_empty(), name == "mailpit", "{name}");
        assert!(service.networks.iter().all(|network| compose.networks.contains_key(network)), "{name}");
    }
    for server in ["kafka", "mongodb"] {
        assert_eq!(compose.services[server].networks, ["servers"]);
    }
    assert!(compose.networks["servers"].internal);
}

#[test]
fn data_is_in_named_volumes_and_mounted_files_exist_read_only() {
    let compose = compose();
    for (name, service) in &compose.services {
        for volume in &service.volumes {
            let parts: Vec<&str> = volume.split(':').collect();
            if let [path, _, mode] = parts[..] {
                assert_eq!(mode, "ro", "{name}: {volume}");
                assert!(root().join(path).exists(), "{name}: {path} does not exist");
            } else {
                assert!(compose.volumes.contains_key(parts[0]), "{name}: {volume}");
            }
        }
        for mount in &service.tmpfs {
            assert!(mount.contains("size="), "{name}: {mount} has no size limit");
            // Every user may write to /tmp; other mounts belong to root without uid.
            let (uid, _) = service.user.split_once(':').unwrap();
            let owned = mount.starts_with("/tmp:") || mount.contains(&format!("uid={uid},"));
            assert!(owned, "{name} cannot write to {mount}");
        }
    }
    for (server, path) in [("kafka", "/var/lib/kafka/data"), ("mongodb", "/data/db")] {
        let volume = format!("{server}-data:{path}");
        assert!(compose.services[server].volumes.contains(&volume), "{server} loses its data at `down`");
        assert!(
            compose.services[server].stop_grace_period.is_some(),
            "{server} is killed during its shutdown"
        );
    }
}

#[test]
fn make_env_writes_distinct_passwords_readable_by_the_owner_only_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deploy")).unwrap();
    for file in [".env.example", "deploy/make-env.sh"] {
        std::fs::copy(root().join(file), folder.path().join(file)).unwrap();
    }
    let make = || Command::new("bash").arg(folder.path().join("deploy/make-env.sh")).output().unwrap();
    assert!(make().status.success());
    let file = folder.path().join(".env");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let made = std::fs::read_to_string(&file).unwrap();
    let value = |name: &str| {
        let line = made.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("{name} is missing")).to_owned()
    };
    let mut generated = BTreeSet::new();
    for (name, default) in example() {
        if default.is_empty() {
            let secret = value(&name);
            assert!(secret.len() >= 22, "{name} is short");
            assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{name}");
            assert!(generated.insert(secret), "{name} equals another password");
        } else {
            assert_eq!(value(&name), default);
        }
    }

    let again = make();
    assert!(!again.status.success(), "the passwords of existing volumes were replaced");
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not changed"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), made);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "there are other files");
}
