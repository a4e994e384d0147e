//! Topic `service-status`: every process publishes its state every two seconds. Key: the instance.

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
    /// When this was published.
    pub at: DateTime<Utc>,
    /// Its parts, by name.
    pub components: Vec<ComponentStatus>,
    /// Figures by name; the name ends with the unit (`…_total`, `…_per_second`, `…_ms`).
    pub figures: BTreeMap<String, f64>,
}

/// One part of a process: a feed, a subscription, a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentStatus {
    /// `feed binance`, `store`.
    pub name: String,
    /// Its state.
    pub state: ComponentState,
    /// For people: what it does, or what is wrong.
    pub detail: String,
    /// Since when it has been in this state.
    pub since: DateTime<Utc>,
    /// The partitions that it reads as a member of its group, by topic. Absent in records of earlier releases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partitions: BTreeMap<String, BTreeSet<i32>>,
}

/// The state of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComponentState {
    /// Has not started its work.
    Starting,
    /// Does its work.
    Up,
    /// Does not; the reason is in `detail`.
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
