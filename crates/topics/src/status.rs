//! Topic `service-status`: every process publishes its status every two seconds. Key: the instance.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The topic.
pub const TOPIC: &str = "service-status";

/// One process at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// `producer`, `consumer`, `web`, or `tapedeck` for all in one process.
    pub service: String,
    /// Distinguishes replicas; new at every start.
    pub instance: String,
    /// The release.
    pub version: String,
    /// When the process started.
    pub started_at: DateTime<Utc>,
    /// When this status was made.
    pub at: DateTime<Utc>,
    /// The process ends in order, and sends no further status. Absent in records of earlier versions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopping: bool,
    /// Its parts, by name.
    pub components: Vec<ComponentStatus>,
    /// Figures by [`figure_key`]; the name ends in the unit (`…_total`, `…_per_second`, `…_ms`).
    pub figures: BTreeMap<String, f64>,
}

impl ServiceStatus {
    /// The values of the figure `name`: one for each service of the process that reports it.
    pub fn figure(&self, name: &str) -> impl Iterator<Item = f64> {
        let is_it = move |key: &str| {
            key.strip_suffix(name).is_some_and(|service| service.is_empty() || service.ends_with('/'))
        };
        self.figures.iter().filter(move |(key, _)| is_it(key)).map(|(_, value)| *value)
    }

    /// The service that a component of this process belongs to.
    pub fn service_of<'a>(&'a self, component: &'a ComponentStatus) -> &'a str {
        component.service.as_deref().unwrap_or(&self.service)
    }
}

/// The key of a figure in a status: `consumer/tapedeck_ticks_stored_total`, and without a service for a figure of the
/// process itself. Services of one process may report figures of the same name.
pub fn figure_key(service: Option<&str>, name: &str) -> String {
    service.map_or_else(|| name.to_owned(), |service| format!("{service}/{name}"))
}

/// One part of a process: a feed, a subscription, a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentStatus {
    /// The service that it belongs to; `None` for a part of the process itself, and in records of earlier versions. Services
    /// of one process may have components of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// `feed binance`, `live store`.
    pub name: String,
    /// Whether it works.
    pub state: ComponentState,
    /// For people: what it does, or why it does not.
    pub detail: String,
    /// Since when it has been in this state.
    pub since: DateTime<Utc>,
    /// The partitions that it reads as a member of its group, by topic; empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partitions: BTreeMap<String, BTreeSet<i32>>,
}

/// Whether a part works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentState {
    /// Not working yet.
    Starting,
    /// Works.
    Up,
    /// Does not work; the detail has the reason.
    Down,
}

/// The value of a record.
///
/// # Errors
/// Never in practice: all maps have text keys.
pub fn encode(status: &ServiceStatus) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(status)
}

/// Reads a value.
///
/// # Errors
/// What is not a status, with the place.
pub fn decode(payload: &[u8]) -> Result<ServiceStatus, serde_json::Error> {
    serde_json::from_slice(payload)
}
