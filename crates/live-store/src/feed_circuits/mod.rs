//! Circuits of feeds: which feed is not requested for a while because it failed several times in a row, also after a restart.

pub(crate) mod mongo;
pub(crate) mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::Result;

/// Feeds whose circuits are read at once; there are some ten.
const MAX_CIRCUITS: usize = 100;

/// The circuit of a feed. A feed without one is closed: it is requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedCircuit {
    /// The feed.
    pub feed: String,
    /// Failures in a row.
    pub failures: u32,
    /// The feed is not requested before this time, in whole milliseconds.
    pub open_until: DateTime<Utc>,
    /// Of the last failure, for people; without a key.
    pub reason: String,
    /// When this was stored.
    pub changed_at: DateTime<Utc>,
}

/// The store of circuits.
///
/// # Contract
/// A feed has one circuit; what is saved later replaces it.
#[async_trait]
pub trait FeedCircuitStore: Send + Sync {
    /// Saves a circuit.
    async fn save_circuit(&self, circuit: &FeedCircuit) -> Result<()>;

    /// Closes the circuit of a feed, if it has one.
    async fn close_circuit(&self, feed: &str) -> Result<()>;

    /// All circuits, in the order of the feeds' names.
    async fn circuits(&self) -> Result<Vec<FeedCircuit>>;
}
