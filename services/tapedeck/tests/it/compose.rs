//! Tests `docker-compose.yml` against the README and against the settings of the binaries.

use std::collections::{BTreeMap, BTreeSet};

use batch::BatchArgs;
use clap::{CommandFactory, Parser};
use producer::ProducerArgs;
use tapedeck::Cli;
use url::Url;

use crate::compose_file::{
    Compose, Health, Kind, Network, SERVICES, Service, example, filled, kind, root, text, used,
};

/// The profile of what log lines are sent to. Services run without it.
const LOGS: &str = "logs";
/// The network of published pages, and those through which connections to outside are made.
const PAGES: &str = "pages";
const OUTGOING: [&str; 1] = ["feeds"];

/// Names of earlier versions that are still accepted.
const FORMER: [&str; 1] = ["CONSUMER_RETENTION_DAYS"];

fn compose() -> Compose {
    Compose::read(&filled())
}

/// The command line of a service of this workspace.
fn settings(service: &str) -> clap::Command {
    let Kind::Own(command) = kind(service) else { panic!("{service} is not a binary of this workspace") };
    command()
}

/// Environment variable -> flag, of a command and its subcommands.
fn variables(command: &clap::Command) -> BTreeMap<String, String> {
    let of = |argument: &clap::Arg| {
        Some((argument.get_env()?.to_str()?.to_owned(), format!("--{}", argument.get_long()?)))
    };
    let below = command.get_subcommands().flat_map(variables);
    command.get_arguments().filter_map(of).chain(below).collect()
}

/// The environment of a service as a command line: what belongs to its subcommand stands behind that.
fn command_line(name: &str, service: &Service) -> Vec<String> {
    let command = settings(name);
    let of_program: BTreeSet<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
    let flags = variables(&command);
    let own = service
        .environment
        .iter()
        .filter_map(|(variable, value)| flags.get(variable).map(|flag| [flag.clone(), value.clone()]));
    let (before, behind): (Vec<_>, Vec<_>) =
        own.partition(|[flag, _]| of_program.contains(flag.trim_start_matches("--")));
    let subcommand = service.command.iter().skip(1).cloned();
    let [before, behind] = [before, behind].map(|pairs| pairs.into_iter().flatten());
    std::iter::once(name.to_owned()).chain(before).chain(subcommand).chain(behind).collect()
}

fn seconds(text: &str) -> u32 {
    let number = text.strip_suffix('s').unwrap_or_else(|| panic!("{text} has no unit"));
    number.parse().unwrap()
}

#[test]
fn every_service_of_the_file_has_a_kind() {
    let compose = compose();
    let named: BTreeSet<&str> = SERVICES.into_iter().map(|(name, _)| name).collect();
    let there: BTreeSet<&str> = compose.services.keys().map(String::as_str).collect();
    assert_eq!(there, named);
}

#[test]
fn every_service_is_limited_confined_checked_and_restarted() {
    for (name, service) in compose().services {
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
        let is_optional = service.profiles == [LOGS] || matches!(kind(&name), Kind::Page { .. });
        assert!(service.profiles.is_empty() || is_optional, "{name}");
        if let Kind::Job { .. } = kind(&name) {
            assert_eq!(service.restart, "no", "{name} runs once for each start");
            assert!(service.healthcheck.is_none(), "{name}");
        } else {
            assert_eq!(service.restart, "unless-stopped", "{name}");
            let health = service.healthcheck.unwrap_or_else(|| panic!("{name} has no health check"));
            has_sensible_times(&name, &health);
        }
    }
}

fn has_sensible_times(name: &str, health: &Health) {
    assert_eq!(health.test[0], "CMD", "{name}: not through a shell, which the image may not have");
    assert!(seconds(&health.timeout) <= seconds(&health.interval).max(10), "{name}");
    assert!(health.retries >= 3 && seconds(&health.start_period) >= 30, "{name}");
}

#[test]
fn a_job_ends_before_the_services_that_wait_for_it() {
    let compose = compose();
    for (name, of) in SERVICES {
        let Kind::Job { server } = of else { continue };
        let job = &compose.services[name];
        assert_eq!(job.image, compose.services[server].image, "{name} uses the tools of another version");
        assert_eq!(job.depends_on[server].condition, "service_healthy", "{name}");
        assert_eq!(job.network_mode, Some(format!("service:{server}")), "{name}");
        let waits = |service: &Service| {
            let condition = service.depends_on.get(name).map(|on| on.condition.as_str());
            assert!(matches!(condition, None | Some("service_completed_successfully")), "{name}");
            condition.is_some()
        };
        // What is imported into pages is needed by no service.
        let is_of_page = matches!(kind(server), Kind::Page { .. });
        assert!(
            is_of_page || compose.services.values().filter(|service| waits(service)).count() > 0,
            "{name}"
        );
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
        if let Kind::Own(_) = kind(&name) {
            assert_eq!(
                service.pull_policy.as_deref(),
                Some("build"),
                "`up` starts an earlier version of {name}"
            );
            assert_eq!((image, tag), (format!("tapedeck-{name}").as_str(), env!("CARGO_PKG_VERSION")));
            let build = service.build.unwrap();
            assert_eq!((build.context.as_str(), build.target.as_str()), (".", name.as_str()));
            assert!(dockerfile.contains(&format!(" AS {name}\n")), "the Dockerfile has no stage {name}");
            assert!(dockerfile.contains(&format!("/out/{name} /usr/local/bin/")));
        } else {
            let version = tag.trim_start_matches('v').split('.').filter(|part| part.parse::<u32>().is_ok());
            assert!(version.count() >= 2, "{name}: {tag} is not a version");
            assert!(service.build.is_none() && service.pull_policy.is_none(), "{name}");
        }
    }
}

#[test]
fn the_variables_of_the_file_and_the_example_are_the_same_with_the_same_defaults() {
    let example = example();
    let mut names = BTreeSet::new();
    for (name, absent) in used() {
        if is_renamed(&name) || FORMER.contains(&name.as_str()) {
            assert_eq!(absent, ":-", "{name} is passed on to be refused, or to be accepted");
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
    // Compose itself uses those with its name.
    let documented: BTreeSet<String> =
        example.into_keys().filter(|name| !name.starts_with("COMPOSE_")).collect();
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
        assert_eq!(service.command[0], name, "the command is the binary");
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
    let parsed = BatchArgs::parse_from(command_line("batch", &compose.services["batch"])).batch;
    let stores = ["--store", "mongodb://mongodb", "--analytics", "mysql://mysql"];
    let bare = BatchArgs::parse_from(std::iter::once("batch").chain(stores).chain(["schedule"])).batch;
    assert_eq!((parsed.schedule, parsed.timezone), (bare.schedule, bare.timezone));
    assert_eq!(parsed.retention.days(), bare.retention.days());
    assert_eq!(parsed.retention.max_bytes(), bare.retention.max_bytes());
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
    let guide = text("docs/operating.md");
    let mut lines = guide.lines().filter(|line| line.trim_start().starts_with("docker compose run "));
    let line = lines.next().expect("docs/operating.md has no backup command");
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
        let test = &service.healthcheck.as_ref().unwrap().test[1..];
        assert_eq!(test, ["tapedeck", "health"], "{name}");
        // Both have the same variable.
        let listen = &service.environment["LISTEN"];
        assert!(listen.starts_with("0.0.0.0:"), "{name} cannot be reached from outside its container");
        assert_eq!(variables(&settings(name))["LISTEN"], "--listen");
        Cli::try_parse_from([&test[0], &test[1], "--listen", listen]).unwrap();
    }
}

/// The addresses of servers in the environment of a service: prefix of the variable (`STORE` of `STORE_URL`), and URL. That of the
/// pages is for readers.
fn addresses(service: &Service) -> impl Iterator<Item = (&str, Url)> {
    let urls = service.environment.iter().filter(|(name, _)| *name != "PUBLIC_URL");
    urls.filter_map(|(name, value)| Some((name.strip_suffix("_URL")?, Url::parse(value).unwrap())))
}

/// Whether two services share a network without connections to outside.
fn share_a_network(compose: &Compose, one: &Service, other: &Service) -> bool {
    let shared = |network: &String| compose.networks[network].internal && other.networks.contains(network);
    one.networks.iter().any(shared)
}

#[test]
fn addresses_are_those_of_services_that_listen_and_are_waited_for() {
    let compose = compose();
    for (name, service) in compose.ours() {
        for (prefix, url) in addresses(service) {
            let host = url.host_str().unwrap();
            let there = &compose.services[host];
            assert!(share_a_network(&compose, service, there), "{name} cannot reach {host}");
            let port = match kind(host) {
                Kind::Server { port, .. } => port,
                Kind::Page { port, clients } => clients.unwrap_or(port),
                Kind::Own(_) => there.environment["LISTEN"].rsplit(':').next().unwrap().parse().unwrap(),
                Kind::Job { .. } => panic!("{name}: {host} ends before {name} starts"),
            };
            assert_eq!(url.port(), Some(port), "{name}: {prefix}_URL");
            let is_optional = there.profiles == [LOGS];
            if let Kind::Server { .. } = kind(host)
                && !is_optional
            {
                let is_awaited = |on: &str, condition: &str| {
                    service.depends_on.get(on).is_some_and(|found| found.condition == condition)
                };
                let jobs = SERVICES
                    .into_iter()
                    .filter(|(_, of)| matches!(of, Kind::Job { server } if *server == host));
                let mut jobs = jobs.map(|(job, _)| job).peekable();
                // A job waits for its server.
                let is_ready = if jobs.peek().is_some() {
                    jobs.all(|job| is_awaited(job, "service_completed_successfully"))
                } else {
                    is_awaited(host, "service_healthy")
                };
                assert!(is_ready, "{name} starts before {host}");
            }
        }
    }
    let kafka = &compose.services["kafka"].environment;
    assert!(kafka["KAFKA_LISTENERS"].split(',').any(|listener| listener == "PLAINTEXT://:9092"));
    assert_eq!(kafka["KAFKA_ADVERTISED_LISTENERS"], "PLAINTEXT://kafka:9092");
}

#[test]
fn passwords_are_variables_of_their_own_and_only_where_they_are_used() {
    let compose = compose();
    let secrets: Vec<String> = filled()
        .into_iter()
        .filter(|(name, _)| name.ends_with("_PASSWORD"))
        .map(|(_, secret)| secret)
        .collect();
    for (name, service) in &compose.services {
        let is_secret = |value: &String| secrets.iter().any(|secret| value.contains(secret.as_str()));
        assert!(!service.command.iter().any(is_secret), "{name}: the list of processes shows its command");
        for (variable, value) in service.environment.iter().filter(|(_, value)| is_secret(value)) {
            assert!(variable.ends_with("_PASSWORD") && secrets.contains(value), "{name}: {variable}");
        }
    }
    for (name, service) in compose.ours() {
        let mut given: BTreeSet<&str> =
            service.environment.keys().filter_map(|variable| variable.strip_suffix("_PASSWORD")).collect();
        for (prefix, url) in addresses(service) {
            assert_eq!(url.password(), None, "{name}: {prefix}_URL");
            assert_eq!(given.remove(prefix), !url.username().is_empty(), "{name}: {prefix}_PASSWORD");
            let Some(password) = service.environment.get(&format!("{prefix}_PASSWORD")) else { continue };
            let server = url.host_str().unwrap();
            let sets = |line: &(&str, Kind)| {
                let is_of_server =
                    line.0 == server || matches!(line.1, Kind::Job { server: of } if of == server);
                is_of_server && compose.services[line.0].environment.values().any(|value| value == password)
            };
            assert!(
                SERVICES.iter().any(sets),
                "{name}: neither {server} nor a job of it has {prefix}_PASSWORD"
            );
        }
        assert!(given.is_empty(), "{name} has passwords of no URL: {given:?}");
    }
}

#[test]
fn the_users_of_mongodb_have_the_rights_that_their_services_need() {
    let compose = compose();
    let script = text("deploy/mongodb/users.js");
    let job = &compose.services["mongodb-users"].environment;
    for (name, service) in compose.ours() {
        let Some((_, url)) = addresses(service).find(|(_, url)| url.host_str() == Some("mongodb")) else {
            continue;
        };
        assert_eq!(url.path(), "/stock_market", "{name}: the database in which the job creates its user");
        let password = &service.environment["STORE_PASSWORD"];
        let (variable, _) = job.iter().find(|(_, given)| *given == password).unwrap();
        // The pages show what the consumer stores, and change accounts only.
        let (user, rights) = if name == "web" {
            ("reader", "READ, changes: ACCOUNTS")
        } else {
            ("tapedeck", "[...READ, ...WRITE]")
        };
        assert_eq!(url.username(), user, "{name}");
        let line = format!("{{ name: \"{user}\", password: process.env.{variable}, actions: {rights} }}");
        assert!(script.contains(&line), "{name}: the job does not have {line}");
    }
}

#[test]
fn only_pages_are_published_and_only_on_this_host() {
    let compose = compose();
    for (name, service) in &compose.services {
        let listens = match kind(name) {
            Kind::Own(_) => service.environment["LISTEN"].rsplit(':').next().unwrap().to_owned(),
            Kind::Page { port, .. } => port.to_string(),
            Kind::Server { .. } | Kind::Job { .. } => String::new(),
        };
        for port in &service.ports {
            assert_eq!(port.rsplit(':').next(), Some(listens.as_str()), "{name} does not listen there");
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
        }
        let is_published = !service.ports.is_empty();
        assert_eq!(is_published, service.networks.iter().any(|network| network == PAGES), "{name}");
        assert!(is_published || !matches!(kind(name), Kind::Page { .. }), "{name} is not published");
    }
}

#[test]
fn networks_connect_services_with_the_servers_that_they_use_and_nothing_else() {
    let compose = compose();
    for (name, network) in &compose.networks {
        let Network { internal, driver_opts } = network;
        if name == PAGES {
            assert_eq!(driver_opts["com.docker.network.bridge.enable_ip_masquerade"], "false", "a way out");
        } else {
            assert_ne!(*internal, OUTGOING.contains(&name.as_str()), "{name}");
        }
    }
    for (name, service) in &compose.services {
        assert!(service.networks.iter().all(|network| compose.networks.contains_key(network)), "{name}");
        assert_eq!(service.networks.is_empty(), matches!(kind(name), Kind::Job { .. }), "{name}");
        let goes_out = service.networks.iter().any(|network| OUTGOING.contains(&network.as_str()));
        assert!(!goes_out || matches!(kind(name), Kind::Own(_)) && service.ports.is_empty(), "{name}");
        if let Kind::Server { .. } = kind(name) {
            assert!(service.networks.iter().all(|network| compose.networks[network].internal), "{name}");
        }
    }
    for (name, service) in compose.ours() {
        for (server, of) in SERVICES {
            let Kind::Server { .. } = of else { continue };
            let uses = addresses(service).any(|(_, url)| url.host_str() == Some(server));
            let reaches = share_a_network(&compose, service, &compose.services[server]);
            assert_eq!(reaches, uses, "{name} and {server}");
        }
    }
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
    for (server, of) in SERVICES {
        let Kind::Server { data, .. } = of else { continue };
        let volume = format!("{server}-data:{data}");
        assert!(compose.services[server].volumes.contains(&volume), "{server} loses its data at `down`");
        assert!(
            compose.services[server].stop_grace_period.is_some(),
            "{server} is killed during its shutdown"
        );
    }
}
