//! What the reader, the store stage and the keeper send each other.

use event_log::{CommitHandle, TopicPartition};

use crate::{batch::Batch, processor::Verdict};

/// Commands that may wait: one batch, and three for every rebalance while the store is unavailable. Past that the reader waits
/// too; its place in the group is kept all the same.
pub(crate) const MAX_COMMANDS: usize = 64;

/// What the store stage and the keeper do, in order.
///
/// `B` is the batch: as it was read on the way to the store stage, with its verdicts on the way to the keeper.
pub(crate) enum Command<B> {
    /// Claim these partitions.
    Assign(Vec<TopicPartition>),
    /// Claim this one again: its offsets began again while it was read.
    Restart(TopicPartition),
    Revoke(Vec<TopicPartition>),
    Write(B),
    Finish,
}

/// What they answer, in the same order.
pub(crate) enum Reply {
    /// The events of the batch are stored, and the next batch may come.
    Stored,
    /// Where to read on in each partition; `None` where another process has claimed the checkpoint meanwhile.
    Assigned(Vec<(TopicPartition, Option<u64>)>),
    Revoked,
    /// All that follows from the batch is stored.
    Written(Vec<CommitHandle>),
    /// Another process has claimed the checkpoints of these.
    Fenced(Vec<TopicPartition>),
    Finished,
}

/// A batch whose events are stored, with a verdict for each.
pub(crate) struct StoredBatch<E> {
    pub(crate) batch: Batch<E>,
    pub(crate) verdicts: Vec<Verdict>,
}
