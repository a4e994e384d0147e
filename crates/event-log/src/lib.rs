//! The event log: durable, partitioned, ordered by key. Bytes only; what they mean is the business of `topics`.
//!
//! One port, two adapters behind [`open`]: `kafka://host:9092` (librdkafka) and `sqlite:path` (embedded, one process).
//! Both pass the same contract suite, `tests/it`.
//!
//! # Contract
//! - Records of one key keep their order; a key always maps to the same partition
//!   (`murmur2(key) & 0x7fffffff % partitions`, as Kafka's Java client does it).
//! - What a [`Receipt`] acknowledged is there after `kill -9`.
//! - A group's position moves only by spending the handles of consumed messages; what was not committed is delivered
//!   again.
//! - Nothing is dropped in silence: what is refused or lost is an [`EventLogError`].

mod batch;
mod check;
mod error;
mod generation;
mod kafka;
mod locked;
mod model;
mod open;
mod pages;
mod partition;
mod port;
mod sqlite;

pub use error::EventLogError;
pub use model::{
    CommitHandle, DEAD_LETTER_SUFFIX, Event, LogDescription, MAX_DELIVERY_BYTES, MAX_RECORD_BYTES, Message,
    NewRecord, PROBE_TOPIC, PartitionLag, Position, Retention, StartAt, TopicInfo, TopicPartition, TopicSpec,
    dead_letter,
};
pub use open::{open, open_for_reading};
pub use pages::Pages;
pub use partition::partition_of;
pub use port::{EventLog, LogAdmin, Publisher, Receipt, Subscription};

/// Result of this crate.
pub type Result<T, E = EventLogError> = std::result::Result<T, E>;
