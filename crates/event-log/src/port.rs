//! The traits of the port: administration, reading, publishing, consuming.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use crate::{
    CommitHandle, Event, EventLogError, LogDescription, Message, NewRecord, PartitionLag, Position, Result,
    StartAt, TopicInfo, TopicPartition, TopicSpec,
};

/// Administration of a log: its topics, its description, and a test record.
#[async_trait]
pub trait LogAdmin: Send + Sync {
    /// Creates the topics that are missing; existing ones keep their settings.
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<()>;

    /// Every topic, sorted by name.
    async fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// A description of the log. Changes nothing.
    async fn describe(&self) -> Result<LogDescription>;

    /// Publishes one record to [`crate::PROBE_TOPIC`], creating the topic if necessary, and returns the time at which the
    /// log stored it, by the log's clock.
    async fn probe(&self) -> Result<DateTime<Utc>>;
}

/// An open log: reading and publishing. Cheap to share; it closes when the last clone and all publishers and subscriptions
/// are dropped.
#[async_trait]
pub trait EventLog: LogAdmin {
    /// The identity of each of these topics. It distinguishes a topic from another one of the same name: in another cluster,
    /// on a wiped broker, or deleted and created again. [`LogAdmin::ensure_topics`] draws it at random and writes it into the
    /// log; topics without an identity are missing in the result.
    async fn identities(&self, topics: &[&str]) -> Result<BTreeMap<String, String>>;

    /// The offset range of each partition of these topics: from the first offset still kept to the offset of the next record
    /// (exclusive).
    async fn bounds(&self, topics: &[&str]) -> Result<BTreeMap<TopicPartition, Range<u64>>>;

    /// A publisher with its own bounded buffer.
    fn publisher(&self) -> Result<Arc<dyn Publisher>>;

    /// Joins `group`, whose members share the partitions of `topics`.
    async fn subscribe(&self, group: &str, topics: &[&str]) -> Result<Box<dyn Subscription>>;

    /// Reads up to `max` records of one partition from `offset` without joining a group, and stops earlier once they have
    /// [`crate::MAX_DELIVERY_BYTES`]. An empty result means the end of the partition.
    async fn read(&self, partition: &TopicPartition, offset: u64, max: usize) -> Result<Vec<Message>>;

    /// The lag of `group` on every partition of `topics`.
    async fn lag(&self, group: &str, topics: &[&str]) -> Result<Vec<PartitionLag>>;

    /// Closes the log in order, whoever else has it: later calls fail with [`EventLogError::Closed`]. An embedded log moves
    /// everything into its file, so that a copy of that file alone is whole. For the end of a process; without it nothing that
    /// was acknowledged is lost.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Publishes records through a bounded buffer.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Adds the records, in order, to the bounded buffer; waits while it is full. The receipt resolves when all of them are
    /// durable.
    ///
    /// # Errors
    /// [`EventLogError::RecordTooLarge`] and [`EventLogError::UnknownTopic`]; no record was accepted.
    async fn send(&self, topic: &str, records: Vec<NewRecord>) -> Result<Receipt>;
}

/// The pending result of a [`Publisher::send`]. Dropping it cancels nothing.
#[derive(Debug)]
#[must_use = "records are not durable before the receipt resolves"]
pub struct Receipt(pub(crate) oneshot::Receiver<Result<Vec<Position>>>);

impl Receipt {
    /// A resolved receipt, for records that are durable at these positions. For adapters that store synchronously.
    pub fn stored(positions: Vec<Position>) -> Self {
        let (reply, receipt) = oneshot::channel();
        // The receiver still exists, so sending cannot fail.
        let _ = reply.send(Ok(positions));
        Self(receipt)
    }

    /// Waits until all records are durable. Returns their positions, in the order sent.
    ///
    /// # Errors
    /// The first failure; some records of the batch may have been stored.
    pub async fn durable(self) -> Result<Vec<Position>> {
        self.0.await.map_err(|_| EventLogError::Closed)?
    }
}

/// A member of a consumer group. Owned by one task. Dropping it leaves the group.
#[async_trait]
pub trait Subscription: Send {
    /// The next event, after at most `max_wait`. It has at most `max_messages` messages, and fewer once they have
    /// [`crate::MAX_DELIVERY_BYTES`]. Safe to cancel.
    async fn next(&mut self, max_messages: usize, max_wait: Duration) -> Result<Event>;

    /// Sets the start position of these assigned partitions and starts their delivery. While the log is unavailable the
    /// positions stay pending: [`Subscription::next`] returns the error, and applies them once the log is available.
    async fn start(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<()>;

    /// A handle that commits `next_offset` of a partition without a message: for records that were processed before this
    /// assignment. `None` if the partition is not assigned, or the offset is 0.
    fn handle_before(&self, partition: &TopicPartition, next_offset: u64) -> Option<CommitHandle>;

    /// Delivers nothing from these partitions until [`Subscription::resume`]. The caller must continue to call
    /// [`Subscription::next`], or the member loses its partitions.
    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Ends a pause. No message was lost.
    async fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Commits, for each partition, the offset after the furthest of these handles. A commit survives the end of this process;
    /// after a power failure an embedded log may have the one before. Handles of an assignment that has
    /// ended are ignored; their number is returned. After a transient failure ([`EventLogError::is_transient`]) the offsets
    /// stay pending: the next call commits them, with handles or without.
    async fn commit(&mut self, handles: Vec<CommitHandle>) -> Result<usize>;

    /// Leaves the group, and waits a few seconds at most until the group has confirmed it. Call it before the process ends:
    /// dropping leaves in the background, and if the process ends first, other members get the partitions only after the
    /// session timeout.
    async fn leave(self: Box<Self>);
}
