//! Parses `docker-compose.yml` and `.env.example` as Compose does.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use alerts::AlertsArgs;
use batch::BatchArgs;
use clap::CommandFactory;
use consumer::ConsumerArgs;
use news::NewsArgs;
use producer::ProducerArgs;
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::PropertySyntax;
use web::WebArgs;

/// What a service of the file is. `compose.rs` has the rules of each kind.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A binary of this workspace of the same name, with its command line.
    Own(fn() -> clap::Command),
    /// A server for other services: the port that they use, and the folder of its volume.
    Server { port: u16, data: &'static str },
    /// A server for browsers: the port of its pages, and the port that other services use, if there is one.
    Page { port: u16, clients: Option<u16> },
    /// Runs at every start and ends before the services that wait for it: the server that it prepares.
    Job { server: &'static str },
}

/// One line for each service of the file. The order of own services is that in which `server_compose.rs` starts them.
pub(crate) const SERVICES: [(&str, Kind); 16] = [
    ("kafka", Kind::Server { port: 9092, data: "/var/lib/kafka/data" }),
    ("mongodb", Kind::Server { port: 27017, data: "/data/db" }),
    ("mongodb-users", Kind::Job { server: "mongodb" }),
    ("mysql", Kind::Server { port: 3306, data: "/var/lib/mysql" }),
    ("mysql-users", Kind::Job { server: "mysql" }),
    ("producer", Kind::Own(ProducerArgs::command)),
    ("consumer", Kind::Own(ConsumerArgs::command)),
    ("batch", Kind::Own(BatchArgs::command)),
    ("alerts", Kind::Own(AlertsArgs::command)),
    ("news", Kind::Own(NewsArgs::command)),
    ("web", Kind::Own(WebArgs::command)),
    ("elasticsearch", Kind::Server { port: 9200, data: "/usr/share/elasticsearch/data" }),
    ("kibana", Kind::Page { port: 5601, clients: None }),
    ("kibana-objects", Kind::Job { server: "kibana" }),
    ("grafana", Kind::Page { port: 3000, clients: None }),
    ("mailpit", Kind::Page { port: 8025, clients: Some(1025) }),
];

/// The kind of a service.
pub(crate) fn kind(service: &str) -> Kind {
    let line = SERVICES.into_iter().find(|(name, _)| *name == service);
    line.unwrap_or_else(|| panic!("{service} has no line in SERVICES")).1
}

/// The names of the services that are binaries of this workspace.
pub(crate) fn ours() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().filter(|(_, kind)| matches!(kind, Kind::Own(_))).map(|(name, _)| name)
}

/// Unknown fields are refused, so that every field of the file is one that a test checks, or was added here on purpose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) image: String,
    pub(crate) build: Option<Build>,
    #[serde(default)]
    pub(crate) pull_policy: Option<String>,
    #[serde(default)]
    pub(crate) command: Vec<String>,
    pub(crate) user: String,
    pub(crate) restart: String,
    pub(crate) read_only: bool,
    pub(crate) cap_drop: Vec<String>,
    pub(crate) security_opt: Vec<String>,
    pub(crate) logging: Logging,
    pub(crate) mem_limit: String,
    pub(crate) pids_limit: u32,
    #[serde(default)]
    pub(crate) stop_grace_period: Option<String>,
    #[serde(default)]
    pub(crate) healthcheck: Option<Health>,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) ports: Vec<String>,
    #[serde(default)]
    pub(crate) networks: Vec<String>,
    #[serde(default)]
    pub(crate) network_mode: Option<String>,
    #[serde(default)]
    pub(crate) volumes: Vec<String>,
    #[serde(default)]
    pub(crate) tmpfs: Vec<String>,
    #[serde(default)]
    pub(crate) depends_on: BTreeMap<String, Dependency>,
    #[serde(default)]
    pub(crate) profiles: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Build {
    pub(crate) context: String,
    pub(crate) target: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Logging {
    pub(crate) driver: String,
    pub(crate) options: BTreeMap<String, String>,
}

/// Without `start_interval`, which docker-compose 1.29 refuses, and `disable`, which must not be used.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    pub(crate) test: Vec<String>,
    pub(crate) interval: String,
    pub(crate) timeout: String,
    pub(crate) retries: u32,
    pub(crate) start_period: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) condition: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    #[serde(default)]
    pub(crate) internal: bool,
    #[serde(default)]
    pub(crate) driver_opts: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Compose {
    pub(crate) services: BTreeMap<String, Service>,
    pub(crate) networks: BTreeMap<String, Network>,
    pub(crate) volumes: BTreeMap<String, Value>,
}

impl Compose {
    /// Parses the file with these variables set.
    pub(crate) fn read(variables: &BTreeMap<String, String>) -> Self {
        let options = serde_saphyr::options! { property_syntax: PropertySyntax::DockerCompose }
            .with_properties(variables.clone().into_iter().collect());
        serde_saphyr::from_str_with_options(&text("docker-compose.yml"), options).unwrap()
    }

    pub(crate) fn ours(&self) -> impl Iterator<Item = (&'static str, &Service)> {
        ours().map(|name| (name, &self.services[name]))
    }
}

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A file of the workspace.
pub(crate) fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `.env.example`: each variable with its default, which is empty for generated values.
pub(crate) fn example() -> BTreeMap<String, String> {
    let text = text(".env.example");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| line.split_once('=').unwrap_or_else(|| panic!("{line} sets no variable")));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The same, with placeholders for generated values.
pub(crate) fn filled() -> BTreeMap<String, String> {
    let fill =
        |name: &str, value: String| if value.is_empty() { format!("placeholder-of-{name}") } else { value };
    example().into_iter().map(|(name, value)| (name.clone(), fill(&name, value))).collect()
}

/// The variables of the compose file, each with its modifier: `:-default`, `:?message`.
pub(crate) fn used() -> BTreeSet<(String, String)> {
    let text = text("docker-compose.yml");
    let uses = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut used = BTreeSet::new();
    for line in uses {
        for rest in line.split("${").skip(1) {
            let (inside, _) = rest.split_once('}').unwrap_or_else(|| panic!("{line} has no end"));
            let end = inside.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(inside.len());
            used.insert((inside[..end].to_owned(), inside[end..].to_owned()));
        }
    }
    used
}
