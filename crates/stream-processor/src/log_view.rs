//! What the log reports about itself, and whether a checkpoint belongs to it. Pure but for the query.

use std::collections::{BTreeMap, BTreeSet};

use event_log::{EventLog, PartitionLag, TopicPartition};
use live_store::Checkpoint;

/// The topics of a log, as they were at a query.
pub(crate) struct LogView {
    /// See [`EventLog::identities`].
    pub(crate) identities: BTreeMap<String, String>,
    /// What the group has committed, and where the partitions begin and end.
    pub(crate) partitions: BTreeMap<TopicPartition, PartitionLag>,
}

/// Why a log is another one than that of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogMismatch {
    #[error("the topic has the identity {here}, and the one read before had {before}")]
    Identity { here: String, before: String },
    #[error("it ends at {end}, and was read up to {next}")]
    Shorter { end: u64, next: u64 },
    #[error("its offsets began again while it was read")]
    OffsetsWentBack,
}

/// A topic that has fewer partitions than its checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "topic `{topic}` has {now} partitions and had {before} when it was read before: it was created again, or the broker is \
     another one (--log, LOG_URL). Nothing stored is changed; the state of the partitions that are gone is taken over where \
     their keys are now"
)]
pub(crate) struct FewerPartitions {
    pub(crate) topic: String,
    now: i32,
    before: i32,
}

impl LogView {
    /// Queries the log about the topics of these partitions.
    pub(crate) async fn query(
        log: &dyn EventLog,
        group: &str,
        partitions: &[TopicPartition],
    ) -> event_log::Result<Self> {
        let topics: BTreeSet<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        let identities = log.identities(&topics).await?;
        let lags = log.lag(group, &topics).await?;
        let by_partition = |lag: PartitionLag| (lag.topic_partition.clone(), lag);
        Ok(Self { identities, partitions: lags.into_iter().map(by_partition).collect() })
    }

    /// How many partitions a topic has; 0 where the log does not know it yet.
    pub(crate) fn partition_count(&self, topic: &str) -> i32 {
        let of_topic = self.partitions.keys().filter(|partition| &*partition.topic == topic);
        i32::try_from(of_topic.count()).unwrap_or(i32::MAX)
    }

    /// Why this log is another one than that of a checkpoint, if it is. A checkpoint without an identity, of before topics had
    /// one, belongs to any log that is long enough.
    pub(crate) fn mismatch(&self, checkpoint: &Checkpoint) -> Option<LogMismatch> {
        let next = checkpoint.next_offset;
        if next == 0 {
            return None;
        }
        if let (Some(here), Some(before)) = (self.identities.get(&checkpoint.topic), &checkpoint.log_identity)
            && here != before
        {
            return Some(LogMismatch::Identity { here: here.clone(), before: before.clone() });
        }
        let end = self.lag_of(checkpoint)?.end;
        (next > end).then_some(LogMismatch::Shorter { end, next })
    }

    /// How many records behind a checkpoint the log no longer keeps, if there are any. Where nothing was read yet, a log may
    /// begin anywhere.
    pub(crate) fn expired(&self, checkpoint: &Checkpoint) -> Option<u64> {
        let (next, first) = (checkpoint.next_offset, self.lag_of(checkpoint)?.first);
        (next > 0 && first > next).then(|| first - next)
    }

    /// Where the partition of a checkpoint ended at the query; 0 where the log does not know it.
    pub(crate) fn end_of(&self, checkpoint: &Checkpoint) -> u64 {
        self.lag_of(checkpoint).map_or(0, |lag| lag.end)
    }

    fn lag_of(&self, checkpoint: &Checkpoint) -> Option<&PartitionLag> {
        let is_of_it = |partition: &&TopicPartition| {
            *partition.topic == *checkpoint.topic && partition.partition == checkpoint.partition
        };
        self.partitions.iter().find(|(partition, _)| is_of_it(partition)).map(|(_, lag)| lag)
    }

    /// The topics in view of which checkpoints know more partitions.
    pub(crate) fn fewer_partitions(&self, checkpoints: &[Checkpoint]) -> Vec<FewerPartitions> {
        let topics: BTreeSet<&str> = self.partitions.keys().map(|partition| &*partition.topic).collect();
        let fewer = |topic: &str| {
            let now = self.partition_count(topic);
            let of_topic = checkpoints.iter().filter(|known| known.topic == topic && known.next_offset > 0);
            let before = of_topic.map(|known| known.partition.saturating_add(1)).max()?;
            (before > now).then(|| FewerPartitions { topic: topic.to_owned(), now, before })
        };
        topics.into_iter().filter_map(fewer).collect()
    }

    /// How much the group has committed of partitions that have no checkpoint at all, if it has: that is how a store under a wrong
    /// name differs from the one that was written before.
    pub(crate) fn unknown_to_store(&self, claimed: &[Checkpoint]) -> Option<u64> {
        if claimed.iter().any(|checkpoint| checkpoint.next_offset > 0) {
            return None;
        }
        let committed = claimed.iter().filter_map(|checkpoint| self.lag_of(checkpoint)?.committed).sum();
        (committed > 0).then_some(committed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(identity: &str, partitions: &[(Option<u64>, u64)]) -> LogView {
        let lag = |(number, (committed, end)): (i32, &(Option<u64>, u64))| {
            let partition = TopicPartition { topic: "stock-prices".into(), partition: number };
            let (committed, end) = (*committed, *end);
            let lag = end - committed.unwrap_or(0).min(end);
            (partition.clone(), PartitionLag { topic_partition: partition, committed, first: 0, end, lag })
        };
        LogView {
            identities: [("stock-prices".to_owned(), identity.to_owned())].into(),
            partitions: (0..).zip(partitions).map(lag).collect(),
        }
    }

    fn checkpoint(partition: i32, next_offset: u64, identity: Option<&str>) -> Checkpoint {
        Checkpoint {
            processor: "test".to_owned(),
            topic: "stock-prices".to_owned(),
            partition,
            generation: 1,
            next_offset,
            log_identity: identity.map(str::to_owned),
            caught_up_at: None,
            state: String::new(),
        }
    }

    #[test]
    fn a_log_is_another_one_by_its_identity_or_its_end() {
        let known = checkpoint(0, 10, Some("one"));
        assert_eq!(view("one", &[(None, 10)]).mismatch(&known), None);
        assert_eq!(view("one", &[(Some(12), 20)]).mismatch(&known), None, "a store restored from a backup");
        let shorter = view("one", &[(Some(8), 9)]).mismatch(&known);
        assert_eq!(shorter, Some(LogMismatch::Shorter { end: 9, next: 10 }));
        let other = view("two", &[(Some(8), 99)]).mismatch(&known).unwrap().to_string();
        assert!(other.contains("two") && other.contains("one"), "{other}");
        assert_eq!(view("two", &[(None, 99)]).mismatch(&checkpoint(0, 0, Some("one"))), None, "not begun");
    }

    #[test]
    fn a_checkpoint_of_before_topics_had_identities_belongs_to_any_log_that_is_long_enough() {
        let known = checkpoint(0, 10, None);
        assert_eq!(view("one", &[(None, 10)]).mismatch(&known), None);
        assert!(view("one", &[(None, 9)]).mismatch(&known).is_some());
    }

    #[test]
    fn what_the_log_no_longer_keeps_is_counted_only_behind_a_checkpoint() {
        let mut here = view("one", &[(Some(10), 90)]);
        here.partitions.values_mut().for_each(|lag| lag.first = 30);
        let expired = |next| here.expired(&checkpoint(0, next, Some("one")));
        assert_eq!([0, 10, 29, 30, 90].map(expired), [None, Some(20), Some(1), None, None]);
    }

    #[test]
    fn a_store_without_the_checkpoints_of_a_group_that_has_committed_is_noticed() {
        let read = view("one", &[(Some(7), 10), (None, 10)]);
        let claimed = |next: [u64; 2]| [checkpoint(0, next[0], None), checkpoint(1, next[1], None)];
        assert_eq!(read.unknown_to_store(&claimed([0, 0])), Some(7));
        assert_eq!(read.unknown_to_store(&claimed([0, 1])), None);
        assert_eq!(view("one", &[(None, 10), (Some(0), 5)]).unknown_to_store(&claimed([0, 0])), None);
    }

    #[test]
    fn a_topic_with_fewer_partitions_than_before_is_named_with_the_setting() {
        let known = [checkpoint(0, 10, None), checkpoint(1, 0, None), checkpoint(2, 5, None)];
        let fewer = view("one", &[(None, 0)]).fewer_partitions(&known);
        let text = fewer[0].to_string();
        assert_eq!(fewer.len(), 1);
        assert!(
            text.contains("`stock-prices` has 1 partitions and had 3") && text.contains("LOG_URL"),
            "{text}"
        );
        assert_eq!(view("one", &[(None, 0), (None, 0), (None, 0)]).fewer_partitions(&known), []);
    }
}
