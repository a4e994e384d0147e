//! What those who write are asked to do, and what they answer.

use std::collections::BTreeMap;

use event_log::{CommitHandle, StartAt, TopicPartition};
use live_store::TickOutcome;

use crate::batcher::Batch;

/// Commands that may wait to be done: one batch, and three for every rebalance while the store is away. Past that
/// the intake waits, too; its place in the group is kept all the same.
pub(crate) const MAX_COMMANDS: usize = 64;

/// What they are asked to do, in order.
///
/// `B` is the batch: as it was read on the way to the inserter, with its ticks stored on the way to the writer.
pub(crate) enum Command<B> {
    Assign(Vec<TopicPartition>),
    /// The log of this one has begun anew under us.
    BeginAnew(TopicPartition),
    Revoke(Vec<TopicPartition>),
    /// The log has taken the first commit of these since they were assigned.
    Committed(Vec<TopicPartition>),
    Write(B),
    Finish,
}

/// What they answer; each of them in the same order.
pub(crate) enum Reply {
    /// The ticks of the batch are stored, and the next one may come.
    Inserted,
    Assigned(Vec<(TopicPartition, StartAt)>),
    Revoked,
    /// All that comes of the batch is stored.
    Written(Vec<CommitHandle>),
    Finished,
}

/// A batch whose ticks are stored.
pub(crate) struct Inserted {
    pub(crate) batch: Batch,
    /// What became of each tick, in order.
    pub(crate) outcomes: Vec<TickOutcome>,
}

/// The offset that the next record of a partition gets.
pub(crate) type Ends = BTreeMap<TopicPartition, u64>;
