//! Checkpoints: how far a stream processor is in each partition, with the processor's own state.

mod completeness;
pub(crate) mod mongo;
pub(crate) mod sqlite;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use self::completeness::{DayCompleteness, PartitionBehind, day_completeness};
use crate::Result;

/// The state of a stream processor for one partition: with it, and the messages from `next_offset` on, it continues as
/// if it had never stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which processor: `consumer`.
    pub processor: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The generation of the owner, raised by every [`CheckpointStore::claim`]; 0 where no owner has claimed the
    /// partition yet.
    pub generation: u64,
    /// The offset to read next.
    pub next_offset: u64,
    /// The identity of the topic in the log that `next_offset` belongs to; `None` where it is unknown.
    pub log_identity: Option<String>,
    /// When the partition was last known to be read to its end, by the owner's clock; `None` where it never was.
    pub caught_up_at: Option<DateTime<Utc>>,
    /// The processor's own state, opaque here: JSON; empty in a new checkpoint.
    pub state: String,
}

/// The store of checkpoints.
///
/// # Contract
/// - A partition has one owner, which is the last that claimed it. An owner that was paused and continues after another
///   has claimed its partition changes nothing.
/// - Of one partition a call has at most one checkpoint.
/// - A save that failed may be repeated whole. A claim that failed may be repeated, too; where only its response was lost,
///   or arrives at the server late, it raises the generation once more, and the owner whose saves are refused then claims
///   again.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// Takes partitions over: raises the generation of each by one, atomically for each, creating what is missing
    /// (`next_offset` 0, empty state). Returns the checkpoints as they are afterwards, in the order of `partitions`.
    async fn claim(&self, processor: &str, partitions: &[(Arc<str>, i32)]) -> Result<Vec<Checkpoint>>;

    /// Stores checkpoints. Returns the indexes of those that were refused, in ascending order: another owner has claimed
    /// their partition (the stored generation is another one), or it was never claimed.
    ///
    /// Within one generation a smaller `next_offset` than the stored one changes nothing, and is not refused: it is a
    /// delayed write. The first save of a generation may have any offset: so a replaced log begins again.
    async fn save_checkpoints(&self, checkpoints: &[Checkpoint]) -> Result<Vec<usize>>;

    /// All checkpoints of a processor, by topic and partition.
    async fn checkpoints(&self, processor: &str) -> Result<Vec<Checkpoint>>;

    /// Those of all processors, by processor, topic and partition.
    async fn all_checkpoints(&self) -> Result<Vec<Checkpoint>>;
}

/// Both servers store integers as 64 bits with a sign.
fn signed(name: &str, number: u64) -> Result<i64, String> {
    i64::try_from(number).map_err(|_| format!("the {name} {number} of a checkpoint is above {}", i64::MAX))
}
