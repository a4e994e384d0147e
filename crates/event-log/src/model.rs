//! The types of the port.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};

use crate::check;

/// Size limit of a record: key, payload and headers together, in bytes. 1 MB, as brokers refuse more by default.
pub const MAX_RECORD_BYTES: usize = 1_000_000;

/// Size at which one delivery or one read is full, in bytes, whatever the number of its messages. It bounds memory; batches of
/// ticks, with some 300 bytes each, do not reach it.
pub const MAX_DELIVERY_BYTES: usize = 4 << 20;

/// Suffix of the topic that receives the dead letters of another topic.
pub const DEAD_LETTER_SUFFIX: &str = ".dlq";

/// The topic of [`crate::LogAdmin::probe`]. It has no consumers.
pub const PROBE_TOPIC: &str = "tapedeck-check";

/// Size limit of key and payload of a dead letter, in bytes. The rest of [`MAX_RECORD_BYTES`] is for its headers.
const MAX_DEAD_LETTER_BYTES: usize = MAX_RECORD_BYTES - 8_192;
/// Size limit of the key of a dead letter, in bytes.
const MAX_DEAD_LETTER_KEY_BYTES: usize = 65_536;
/// Length limit of the reason of a dead letter, which may quote the received record.
const MAX_REASON_CHARS: usize = 1_000;

/// Retention of [`PROBE_TOPIC`].
pub(crate) const PROBE_RETENTION: Duration = Duration::from_hours(1);

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Number of partitions, at least 1. An existing topic keeps its number.
    pub partitions: i32,
    /// How long the topic keeps its records.
    pub retention: Retention,
}

/// How long a topic keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// For this time.
    For(Duration),
    /// The latest record of each key, without limit (compaction); earlier ones may be removed at any time. The embedded log
    /// keeps all records.
    LatestOfKey,
}

/// An existing topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// For each partition, in order: the first offset still kept and the offset of the next record.
    pub partitions: Vec<(u64, u64)>,
}

/// Description of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogDescription {
    /// The file, or the brokers as `host:port`. Without credentials.
    pub location: String,
    /// Kafka's cluster id; `None` for the embedded log.
    pub cluster_id: Option<String>,
    /// How long each topic keeps its records; `None` if without limit. Topics whose settings this user may not read are
    /// missing.
    pub retention: BTreeMap<String, Option<Duration>>,
}

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// Topic, partition and offset of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The topic and partition.
    pub topic_partition: TopicPartition,
    /// The offset, from 0. Consecutive in the embedded log; a Kafka partition may have gaps.
    pub offset: u64,
}

/// A record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Selects the partition; records without a key are distributed over all partitions.
    pub key: Option<Bytes>,
    /// The value.
    pub payload: Bytes,
    /// Names and values.
    pub headers: Vec<(String, Bytes)>,
    /// When the record was created. Stored in milliseconds.
    pub timestamp: DateTime<Utc>,
}

/// A consumed record.
#[derive(Debug)]
pub struct Message {
    /// Its topic, partition and offset.
    pub position: Position,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub payload: Bytes,
    /// Names and values.
    pub headers: Vec<(String, Bytes)>,
    /// When the record was created, in milliseconds.
    pub timestamp: DateTime<Utc>,
    /// Commits the message, see [`crate::Subscription::commit`]; `None` for records that were read without a group.
    pub handle: Option<CommitHandle>,
}

impl Message {
    /// Key, payload and headers together, in bytes.
    pub fn size(&self) -> usize {
        check::size(self.key.as_deref(), &self.payload, &self.headers)
    }
}

/// The right to commit one message: created by an adapter for each delivered message, used once. Committing a message commits
/// all earlier ones of its partition.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a message whose handle is not committed is delivered again"]
pub struct CommitHandle {
    pub(crate) position: Position,
    /// Number of the assignment that delivered the message; handles of an earlier assignment are ignored.
    pub(crate) generation: u64,
}

impl CommitHandle {
    /// The handle of one message, for adapters. `generation` is the number of the assignment that delivered it.
    pub fn new(position: Position, generation: u64) -> Self {
        Self { position, generation }
    }

    /// Number of the assignment that delivered the message.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The handle of the message before `next_offset`; `None` for offset 0.
    pub(crate) fn before(partition: &TopicPartition, next_offset: u64, generation: u64) -> Option<Self> {
        let offset = next_offset.checked_sub(1)?;
        Some(Self { position: Position { topic_partition: partition.clone(), offset }, generation })
    }

    /// The message that it commits.
    pub fn position(&self) -> &Position {
        &self.position
    }
}

/// The start position of an assigned partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The first record still kept.
    Beginning,
    /// The next record published.
    End,
    /// This offset; the beginning if it has expired. If it is beyond the end it belongs to another log: delivery starts at the
    /// beginning, with a warning.
    Offset(u64),
    /// This number of records before the end; the beginning if the partition has fewer.
    BeforeEnd(u64),
}

impl StartAt {
    /// As [`StartAt::offset`], with a warning if the offset cannot belong to this log.
    pub(crate) fn offset_in(self, partition: &TopicPartition, first: u64, end: u64) -> u64 {
        let at = self.offset(first, end);
        if let Self::Offset(wanted) = self
            && at < wanted
        {
            tracing::warn!(
                %partition, wanted, end, from = at,
                "this is not the log that was read before: the offset to continue from is beyond the end of the partition, \
                 which is read from its beginning. If another log is meant, change --log (LOG_URL)"
            );
        }
        at
    }

    /// The offset of this position in a partition whose records have the offsets `first..end`.
    pub(crate) fn offset(self, first: u64, end: u64) -> u64 {
        let offset = match self {
            Self::Beginning => first,
            Self::End => end,
            Self::Offset(offset) if offset > end.max(first) => first,
            Self::Offset(offset) => offset,
            Self::BeforeEnd(records) => end.saturating_sub(records),
        };
        // While records expire, the reported end may be below the reported beginning for a moment.
        offset.max(first).min(end.max(first))
    }
}

/// What [`crate::Subscription::next`] returns.
#[derive(Debug)]
pub enum Event {
    /// These partitions are assigned to this member. Nothing is delivered from them until the caller sets a start position
    /// with [`crate::Subscription::start`].
    Assigned(Vec<TopicPartition>),
    /// This member has joined the group and has no partition: other members have all of them, or have not given any up yet.
    Standby,
    /// These partitions move to another member. Their handles can be committed until the next call of
    /// [`crate::Subscription::next`], within a time limit of the adapter.
    Revoked(Vec<TopicPartition>),
    /// Messages, in order within each partition; empty after the maximum wait.
    Messages(Vec<Message>),
}

/// The lag of a group on one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// Offset after the last committed message; `None` before the first commit.
    pub committed: Option<u64>,
    /// The first offset still kept.
    pub first: u64,
    /// Offset of the next record.
    pub end: u64,
    /// Number of records not committed yet.
    pub lag: u64,
}

/// The dead letter of a message that could not be decoded: key and payload as received, and headers with topic, partition,
/// offset, reason and time. It belongs into `<topic>` + [`DEAD_LETTER_SUFFIX`].
///
/// It never exceeds [`MAX_RECORD_BYTES`]: reason, key and payload of a message close to that size are cut, and the header `cut`
/// has the original sizes of key and payload.
pub fn dead_letter(message: &Message, reason: &str, now: DateTime<Utc>) -> NewRecord {
    let TopicPartition { topic, partition } = &message.position.topic_partition;
    let header = |name: &str, value: String| (name.to_owned(), Bytes::from(value));
    let mut headers = vec![
        header("topic", topic.to_string()),
        header("partition", partition.to_string()),
        header("offset", message.position.offset.to_string()),
        header("reason", reason.chars().take(MAX_REASON_CHARS).collect()),
        header("when", now.to_rfc3339_opts(SecondsFormat::Millis, true)),
    ];
    let key_bytes = message.key.as_ref().map_or(0, Bytes::len);
    let key = message.key.as_ref().map(|key| key.slice(..key.len().min(MAX_DEAD_LETTER_KEY_BYTES)));
    let room = MAX_DEAD_LETTER_BYTES.saturating_sub(key.as_ref().map_or(0, Bytes::len));
    let payload = message.payload.slice(..message.payload.len().min(room));
    if key_bytes + message.payload.len() > key.as_ref().map_or(0, Bytes::len) + payload.len() {
        headers
            .push(header("cut", format!("key of {key_bytes} bytes, payload of {}", message.payload.len())));
    }
    NewRecord { key, payload, headers, timestamp: now }
}
