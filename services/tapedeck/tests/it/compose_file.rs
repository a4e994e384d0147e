//! Parses `docker-compose.yml` and `.env.example` as Compose does.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::PropertySyntax;

/// The services that are binaries of this workspace.
pub(crate) const OURS: [&str; 3] = ["producer", "consumer", "web"];

/// Unknown fields are refused, so that every field of the file is one that a test checks, or was added here on purpose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) image: String,
    pub(crate) build: Option<Build>,
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
    pub(crate) healthcheck: Health,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) ports: Vec<String>,
    pub(crate) networks: Vec<String>,
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
pub(crate) struct Network {
    #[serde(default)]
    pub(crate) internal: bool,
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
        OURS.into_iter().map(|name| (name, &self.services[name]))
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
