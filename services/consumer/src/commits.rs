//! What the log was told of how far we are, and what it is yet to hear. Pure: the caller commits.

use std::collections::{BTreeMap, BTreeSet};

use event_log::{CommitHandle, TopicPartition};
use tokio::time::Instant;

/// The commits of one member of a group.
pub(crate) struct Commits {
    /// Handles of what is stored and not committed yet, the furthest of each partition.
    pub(crate) stored: BTreeMap<TopicPartition, CommitHandle>,
    /// When it was last told.
    pub(crate) at: Instant,
    /// The last commit failed, and the next one makes it good.
    pub(crate) is_owed: bool,
    /// Partitions whose first commit since they were assigned is under way.
    first: BTreeSet<TopicPartition>,
    /// Those of which the log has taken one.
    taken: BTreeSet<TopicPartition>,
}

impl Commits {
    /// Nothing yet.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            stored: BTreeMap::new(),
            at: now,
            is_owed: false,
            first: BTreeSet::new(),
            taken: BTreeSet::new(),
        }
    }

    /// A commit of these begins.
    pub(crate) fn begin<'a>(&mut self, partitions: impl Iterator<Item = &'a TopicPartition>) {
        self.first.extend(partitions.filter(|known| !self.taken.contains(*known)).cloned());
    }

    /// A commit went through, and what earlier ones owed with it: the partitions it was the first of. Those that had moved
    /// on are among them; taking a log for another one costs a second reading, the other way round it costs ticks.
    pub(crate) fn taken_first(&mut self) -> Vec<TopicPartition> {
        let first = std::mem::take(&mut self.first);
        self.taken.extend(first.iter().cloned());
        first.into_iter().collect()
    }

    /// These begin again.
    pub(crate) fn forget(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.first.remove(partition);
            self.taken.remove(partition);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> TopicPartition {
        TopicPartition { topic: "stock-prices".into(), partition }
    }

    #[test]
    fn the_first_commit_of_a_partition_is_told_once_whichever_call_it_went_through_with() {
        let mut commits = Commits::new(Instant::now());
        commits.begin([place(0), place(1)].iter());
        // It failed for now; the next one has nothing new, and makes it good.
        commits.begin([].iter());
        assert_eq!(commits.taken_first(), [place(0), place(1)]);
        commits.begin([place(0), place(2)].iter());
        assert_eq!(commits.taken_first(), [place(2)]);
        commits.forget(&[place(0)]);
        commits.begin([place(0), place(1)].iter());
        assert_eq!(commits.taken_first(), [place(0)], "assigned again, it is asked again");
    }
}
