//! How far the reader is with each assigned partition.

use std::collections::{BTreeMap, BTreeSet};

use event_log::{Message, Position, TopicPartition};

/// The reading of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Its checkpoint is to be claimed, and so many commands that claim it are under way; nothing that is delivered counts.
    Claiming { commands: u32 },
    /// The checkpoint is known, and the log is to start delivering there.
    Starting { next_offset: u64 },
    /// Delivering; the next message has this offset, or a greater one.
    Started { next_offset: u64 },
}

/// What a message is to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The next one of its partition.
    InOrder,
    /// Of a partition that is not started, or not assigned.
    NotStarted,
    /// Before one that was delivered: the log was replaced under the reader.
    WentBack,
}

/// The partitions assigned to this member.
#[derive(Default)]
pub(crate) struct Partitions(BTreeMap<TopicPartition, Reading>);

impl Partitions {
    /// A command that claims these is sent: they are assigned just now, or claimed again.
    pub(crate) fn claim(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            let reading = self.0.entry(partition.clone()).or_insert(Reading::Claiming { commands: 0 });
            let before = if let Reading::Claiming { commands } = reading { *commands } else { 0 };
            *reading = Reading::Claiming { commands: before + 1 };
        }
    }

    /// Another process has claimed the checkpoints of these. Those that are still assigned are to be claimed again, and are
    /// returned; for one that was revoked meanwhile the other process is the owner.
    pub(crate) fn fenced(&mut self, partitions: Vec<TopicPartition>) -> Vec<TopicPartition> {
        let mut assigned = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let Some(reading) = self.0.get_mut(&partition) else { continue };
            if !matches!(reading, Reading::Claiming { .. }) {
                *reading = Reading::Claiming { commands: 0 };
            }
            assigned.push(partition);
        }
        assigned
    }

    /// Whether its checkpoint is to be claimed and no command that does so is under way.
    pub(crate) fn is_unclaimed(&self, partition: &TopicPartition) -> bool {
        matches!(self.0.get(partition), Some(Reading::Claiming { commands: 0 }))
    }

    pub(crate) fn revoke(&mut self, partitions: &[TopicPartition]) {
        self.0.retain(|partition, _| !partitions.contains(partition));
    }

    /// A command has claimed the checkpoints of these, except where the offset is `None`: another process has claimed that one
    /// meanwhile. Those that were revoked meanwhile are left out, and those that are being claimed once more.
    pub(crate) fn claimed(&mut self, next_offsets: Vec<(TopicPartition, Option<u64>)>) {
        for (partition, next_offset) in next_offsets {
            let Some(reading) = self.0.get_mut(&partition) else { continue };
            let Reading::Claiming { commands } = *reading else { continue };
            *reading = match (commands.saturating_sub(1), next_offset) {
                (0, Some(next_offset)) => Reading::Starting { next_offset },
                (commands, _) => Reading::Claiming { commands },
            };
        }
    }

    /// Those that the log is to start, and from which offset.
    pub(crate) fn starting(&self) -> Vec<(TopicPartition, u64)> {
        let starting = |(partition, reading): (&TopicPartition, &Reading)| match reading {
            Reading::Starting { next_offset } => Some((partition.clone(), *next_offset)),
            Reading::Claiming { .. } | Reading::Started { .. } => None,
        };
        self.0.iter().filter_map(starting).collect()
    }

    /// The log has started what [`Partitions::starting`] returned.
    pub(crate) fn started(&mut self) {
        for reading in self.0.values_mut() {
            if let Reading::Starting { next_offset } = *reading {
                *reading = Reading::Started { next_offset };
            }
        }
    }

    /// Whether its checkpoint is being claimed, or was claimed and the log has not started it yet.
    pub(crate) fn is_beginning(&self, partition: &TopicPartition) -> bool {
        matches!(self.0.get(partition), Some(Reading::Claiming { .. } | Reading::Starting { .. }))
    }

    /// A message was delivered.
    pub(crate) fn deliver(&mut self, message: &Message) -> Delivered {
        let Position { topic_partition, offset } = &message.position;
        match self.0.get_mut(topic_partition) {
            Some(Reading::Started { next_offset }) if *next_offset <= *offset => {
                *next_offset = offset + 1;
                Delivered::InOrder
            }
            Some(Reading::Started { .. }) => Delivered::WentBack,
            Some(Reading::Claiming { .. } | Reading::Starting { .. }) | None => Delivered::NotStarted,
        }
    }

    pub(crate) fn all(&self) -> Vec<TopicPartition> {
        self.0.keys().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn by_topic(&self) -> BTreeMap<String, BTreeSet<i32>> {
        let mut by_topic: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        for TopicPartition { topic, partition } in self.0.keys() {
            by_topic.entry(topic.to_string()).or_default().insert(*partition);
        }
        by_topic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> TopicPartition {
        TopicPartition { topic: "stock-prices".into(), partition: 2 }
    }

    #[test]
    fn a_partition_that_was_revoked_is_not_claimed_again() {
        let mut partitions = Partitions::default();
        partitions.claim(&[partition()]);
        partitions.revoke(&[partition()]);
        assert_eq!(partitions.fenced(vec![partition()]), []);
        assert_eq!((partitions.is_unclaimed(&partition()), partitions.len()), (false, 0));
    }

    #[test]
    fn a_partition_that_is_being_claimed_or_read_is_not_claimed_beside_it() {
        let mut partitions = Partitions::default();
        partitions.claim(&[partition()]);
        assert_eq!(partitions.fenced(vec![partition()]), [partition()]);
        assert!(!partitions.is_unclaimed(&partition()));
        partitions.claimed(vec![(partition(), Some(7))]);
        assert_eq!(partitions.starting(), [(partition(), 7)]);
        assert!(!partitions.is_unclaimed(&partition()));
    }

    #[test]
    fn a_partition_whose_claim_was_refused_is_claimed_again() {
        let mut partitions = Partitions::default();
        partitions.claim(&[partition()]);
        partitions.fenced(vec![partition()]);
        partitions.claimed(vec![(partition(), None)]);
        assert!(partitions.is_unclaimed(&partition()));
        partitions.claim(&[partition()]);
        partitions.claimed(vec![(partition(), Some(7))]);
        assert_eq!(partitions.starting(), [(partition(), 7)]);
    }
}
