//! The event log: durable, partitioned, ordered by key. It stores bytes; the crate `topics` encodes and decodes them.
//!
//! One port, two adapters behind [`open`]: `kafka://host:9092` (librdkafka) and `sqlite:path` (embedded, one process).
//! Both pass the same contract suite, `tests/it`.
//!
//! # Contract
//! - Records of one key keep their order; a key always maps to the same partition
//!   (`murmur2(key) & 0x7fffffff % partitions`, as in Kafka's Java client).
//! - Records whose [`Receipt`] was acknowledged survive `kill -9`.
//! - A group's committed offset moves only when handles of consumed messages are committed; uncommitted messages are
//!   delivered again.
//! - Nothing is dropped without an error: a refused or lost record is an [`EventLogError`].

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
