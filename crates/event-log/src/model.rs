//! The nouns of the port.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};

use crate::check;

/// Largest record: key, payload and headers together, in bytes. 1 MB, as brokers refuse more by default.
pub const MAX_RECORD_BYTES: usize = 1_000_000;

/// Messages of one delivery or one reading, in bytes: with as many it is full, whatever their number. Memory is bounded by it,
/// and ticks, which have some 300 bytes, never come near it.
pub const MAX_DELIVERY_BYTES: usize = 4 << 20;

/// Added to a topic's name for what could not be decoded from it.
pub const DEAD_LETTER_SUFFIX: &str = ".dlq";

/// The topic of [`crate::EventLog::probe`]; nobody reads it.
pub const PROBE_TOPIC: &str = "tapedeck-check";

/// Of a dead letter: key and payload together, so that with its headers it is a record.
const MAX_LETTER_BYTES: usize = MAX_RECORD_BYTES - 8_192;
/// Of that, its key.
const MAX_LETTER_KEY_BYTES: usize = 65_536;
/// And its reason, which may quote what was received.
const MAX_REASON_CHARS: usize = 1_000;

/// How long it keeps what was published to try.
pub(crate) const PROBE_RETENTION: Duration = Duration::from_hours(1);

/// A topic as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions, at least 1. An existing topic keeps the number it has.
    pub partitions: i32,
    /// How long records are kept.
    pub retention: Retention,
}

/// How long a topic keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// For so long.
    For(Duration),
    /// The latest record of each key for ever; earlier ones may be removed at any time. The embedded log keeps them all.
    LatestOfKey,
}

/// A topic as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Per partition, in order: the first offset still kept and the offset the next record gets.
    pub partitions: Vec<(u64, u64)>,
}

/// What can be said about a log without changing it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogDescription {
    /// The file, or the brokers as `host:port`. Without credentials.
    pub place: String,
    /// What tells this cluster from another under the same address; `None` for the embedded log.
    pub cluster_id: Option<String>,
    /// How long each topic keeps its records; `None` where it keeps them for ever. Topics that we may not ask about are
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

/// Where a record lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The topic and partition.
    pub topic_partition: TopicPartition,
    /// The offset, from 0, without holes in one partition of the embedded log; Kafka may leave holes.
    pub offset: u64,
}

/// A record to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Chooses the partition; records without key are spread.
    pub key: Option<Bytes>,
    /// The value.
    pub payload: Bytes,
    /// Names and values.
    pub headers: Vec<(String, Bytes)>,
    /// When it was made; milliseconds are kept.
    pub timestamp: DateTime<Utc>,
}

/// A consumed record.
#[derive(Debug)]
pub struct Message {
    /// Where it lay.
    pub position: Position,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub payload: Bytes,
    /// Names and values.
    pub headers: Vec<(String, Bytes)>,
    /// When it was made; milliseconds.
    pub timestamp: DateTime<Utc>,
    /// Spent in [`crate::Subscription::commit`] once the message is dealt with; `None` for records that were only
    /// peeked at.
    pub handle: Option<CommitHandle>,
}

impl Message {
    /// Key, payload and headers together, in bytes.
    pub fn size(&self) -> usize {
        check::size(self.key.as_deref(), &self.payload, &self.headers)
    }
}

/// The right to commit one message: made by an adapter for each delivery, spent once. Committing a message commits
/// all before it in its partition.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a message whose handle is not spent is delivered again"]
pub struct CommitHandle {
    pub(crate) position: Position,
    /// Which assignment of the partition delivered it; a handle of an earlier one no longer counts.
    pub(crate) generation: u64,
}

impl CommitHandle {
    /// The handle of one message. For adapters: `generation` is the number of the assignment that delivered it.
    pub fn new(position: Position, generation: u64) -> Self {
        Self { position, generation }
    }

    /// The number of the assignment that delivered its message.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The handle of the message before `next_offset`; `None` where there is none.
    pub(crate) fn before(partition: &TopicPartition, next_offset: u64, generation: u64) -> Option<Self> {
        let offset = next_offset.checked_sub(1)?;
        Some(Self { position: Position { topic_partition: partition.clone(), offset }, generation })
    }

    /// The message it stands for.
    pub fn position(&self) -> &Position {
        &self.position
    }
}

/// Where reading begins on an assigned partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The first record kept.
    Beginning,
    /// The next record published.
    End,
    /// This offset; the beginning where it is no longer kept. Also the beginning where it lies beyond the end, with a
    /// warning: such an offset was read in another log, and of this one nothing is known.
    Offset(u64),
    /// So many records before the end; the beginning where fewer are kept.
    BeforeEnd(u64),
}

impl StartAt {
    /// The same, said aloud where the offset cannot be of this log.
    pub(crate) fn offset_in(self, partition: &TopicPartition, first: u64, end: u64) -> u64 {
        let at = self.offset(first, end);
        if let Self::Offset(wanted) = self
            && at < wanted
        {
            tracing::warn!(
                %partition, wanted, end, from = at,
                "this is not the log that was read before: the offset to go on from lies beyond its end; it is read from \
                 its beginning. If another one is meant, mend --log (LOG_URL)"
            );
        }
        at
    }

    /// The offset it means in a partition that keeps the records from `first` to before `end`.
    pub(crate) fn offset(self, first: u64, end: u64) -> u64 {
        let offset = match self {
            Self::Beginning => first,
            Self::End => end,
            Self::Offset(offset) if offset > end.max(first) => first,
            Self::Offset(offset) => offset,
            Self::BeforeEnd(records) => end.saturating_sub(records),
        };
        // The end may be said to lie before the beginning for a moment, while records expire.
        offset.max(first).min(end.max(first))
    }
}

/// What a subscription has to say.
#[derive(Debug)]
pub enum Event {
    /// These partitions are ours from now on. Nothing is delivered from one until the caller says where to begin
    /// with [`crate::Subscription::start`].
    Assigned(Vec<TopicPartition>),
    /// We belong to the group, and there is no partition for us: others read them all, or are yet to give some up.
    Standby,
    /// These partitions go to another member. Until the next call of [`crate::Subscription::next`] (bounded by the
    /// adapter) their handles may still be spent.
    Revoked(Vec<TopicPartition>),
    /// Messages in order per partition; empty when the wait ran out.
    Messages(Vec<Message>),
}

/// How far a group is behind on one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// Offset behind the last committed message; `None` before the first commit.
    pub committed: Option<u64>,
    /// The first offset still kept.
    pub first: u64,
    /// Offset the next record gets.
    pub end: u64,
    /// Records not committed yet.
    pub lag: u64,
}

/// The dead letter for a message that could not be understood: bytes and key as received, headers telling origin
/// topic, partition, offset, reason and time. Goes to `<topic>` + [`DEAD_LETTER_SUFFIX`].
///
/// It is a record that the log takes, whatever was received: reason, key and payload of a message that others made as large
/// as a record can be are cut, and the header `cut` says how large key and payload were.
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
    let key = message.key.as_ref().map(|key| key.slice(..key.len().min(MAX_LETTER_KEY_BYTES)));
    let room = MAX_LETTER_BYTES.saturating_sub(key.as_ref().map_or(0, Bytes::len));
    let payload = message.payload.slice(..message.payload.len().min(room));
    if key_bytes + message.payload.len() > key.as_ref().map_or(0, Bytes::len) + payload.len() {
        headers
            .push(header("cut", format!("key of {key_bytes} bytes, payload of {}", message.payload.len())));
    }
    NewRecord { key, payload, headers, timestamp: now }
}
