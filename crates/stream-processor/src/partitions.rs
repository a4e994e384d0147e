//! How far the reader is with each assigned partition.

use std::collections::{BTreeMap, BTreeSet};

use event_log::{Message, Position, TopicPartition};

/// The reading of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Its checkpoint is being claimed, by so many commands; nothing that is delivered counts.
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
    /// These are claimed from now on: assigned just now, or to be claimed again.
    pub(crate) fn claim(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            let reading = self.0.entry(partition.clone()).or_insert(Reading::Claiming { commands: 0 });
            let before = if let Reading::Claiming { commands } = reading { *commands } else { 0 };
            *reading = Reading::Claiming { commands: before + 1 };
        }
    }

    pub(crate) fn revoke(&mut self, partitions: &[TopicPartition]) {
        self.0.retain(|partition, _| !partitions.contains(partition));
    }

    /// The checkpoints of these are claimed. Those that were revoked meanwhile are left out, and those that are being claimed
    /// once more.
    pub(crate) fn claimed(&mut self, next_offsets: Vec<(TopicPartition, u64)>) {
        for (partition, next_offset) in next_offsets {
            match self.0.get_mut(&partition) {
                Some(Reading::Claiming { commands }) if *commands > 1 => *commands -= 1,
                Some(reading @ Reading::Claiming { .. }) => *reading = Reading::Starting { next_offset },
                Some(Reading::Starting { .. } | Reading::Started { .. }) | None => {}
            }
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

    pub(crate) fn is_assigned(&self, partition: &TopicPartition) -> bool {
        self.0.contains_key(partition)
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
