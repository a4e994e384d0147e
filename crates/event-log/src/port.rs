//! The verbs of the port.

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use crate::{
    CommitHandle, Event, EventLogError, LogDescription, Message, NewRecord, PartitionLag, Position, Result,
    StartAt, TopicInfo, TopicPartition, TopicSpec,
};

/// Administration of a log: its topics, and what an operator asks about it.
#[async_trait]
pub trait LogAdmin: Send + Sync {
    /// Creates what is missing, leaves what is there.
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<()>;

    /// Every topic, by name.
    async fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// A description, made without changing anything.
    async fn describe(&self) -> Result<LogDescription>;

    /// Publishes one record to [`crate::PROBE_TOPIC`], which it creates, and returns when the log stored it, by the
    /// log's own clock.
    async fn probe(&self) -> Result<DateTime<Utc>>;
}

/// A log, open: reading and writing. Cheap to share; closes when the last clone and all publishers and subscriptions are gone.
#[async_trait]
pub trait EventLog: LogAdmin {
    /// The identity of each of these topics: what tells a topic from another one of the same name, in another cluster, on a
    /// wiped broker, or created again. It is drawn at random and written into the log by [`LogAdmin::ensure_topics`]; topics
    /// that have none are missing in the answer.
    async fn identities(&self, topics: &[&str]) -> Result<BTreeMap<String, String>>;

    /// The offsets that each partition of these topics holds: from the first one kept to before the one that the next
    /// record gets.
    async fn bounds(&self, topics: &[&str]) -> Result<BTreeMap<TopicPartition, Range<u64>>>;

    /// A publisher with its own bounded buffer.
    fn publisher(&self) -> Result<Arc<dyn Publisher>>;

    /// Joins `group`, whose members share the partitions of `topics`.
    async fn subscribe(&self, group: &str, topics: &[&str]) -> Result<Box<dyn Subscription>>;

    /// Reads up to `max` records of one partition from `offset` without joining a group, and none more once they hold
    /// [`crate::MAX_DELIVERY_BYTES`]; none only at the end.
    async fn read(&self, partition: &TopicPartition, offset: u64, max: usize) -> Result<Vec<Message>>;

    /// How far `group` is behind, for every partition of `topics`.
    async fn lag(&self, group: &str, topics: &[&str]) -> Result<Vec<PartitionLag>>;
}

/// Publishes.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Accepts the records, in order, into the bounded buffer; waits while it is full. The receipt resolves when all
    /// are durable.
    ///
    /// # Errors
    /// [`EventLogError::RecordTooLarge`] and [`EventLogError::UnknownTopic`], with nothing accepted.
    async fn send(&self, topic: &str, records: Vec<NewRecord>) -> Result<Receipt>;
}

/// The promise of a [`Publisher::send`]. Dropping it cancels nothing.
#[derive(Debug)]
#[must_use = "until the receipt is durable nothing is promised"]
pub struct Receipt(pub(crate) oneshot::Receiver<Result<Vec<Position>>>);

impl Receipt {
    /// The receipt of records that are durable at these positions. For adapters that store at once.
    pub fn stored(positions: Vec<Position>) -> Self {
        let (reply, receipt) = oneshot::channel();
        // The receiver is here, so that sending cannot fail.
        let _ = reply.send(Ok(positions));
        Self(receipt)
    }

    /// Waits until all records are durable; their positions, in the order sent.
    ///
    /// # Errors
    /// The first failure; the records of the batch may then be stored in part.
    pub async fn durable(self) -> Result<Vec<Position>> {
        self.0.await.map_err(|_| EventLogError::Closed)?
    }
}

/// A member of a consumer group. Owned by one task. Dropping it leaves the group.
#[async_trait]
pub trait Subscription: Send {
    /// The next event, after at most `max_wait`; at most `max_messages` messages, and none more once they hold
    /// [`crate::MAX_DELIVERY_BYTES`]. Safe to cancel.
    async fn next(&mut self, max_messages: usize, max_wait: Duration) -> Result<Event>;

    /// Sets where the next message of each of these assigned partitions comes from, and starts their delivery. While the
    /// log is unavailable the positions are kept: [`Subscription::next`] returns the error, and applies them when the log is
    /// back.
    async fn start(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<()>;

    /// A handle that commits `next_offset` of a partition, without a message: for what is known to be dealt with before
    /// anything was delivered. `None` when the partition is not assigned, or the offset is 0.
    fn handle_before(&self, partition: &TopicPartition, next_offset: u64) -> Option<CommitHandle>;

    /// Delivers nothing from these until [`Subscription::resume`]. Calling [`Subscription::next`] goes on, so that
    /// the group does not take us for dead.
    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Ends a pause; nothing was lost.
    async fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Spends handles: moves the group's position behind the furthest of each partition, durably. Handles of an
    /// assignment that has ended are left out; the answer says how many. What could not be committed for now (see
    /// [`EventLogError::is_transient`]) is owed: the next call sees to it, with handles or without.
    async fn commit(&mut self, handles: Vec<CommitHandle>) -> Result<usize>;

    /// Leaves the group, and waits a few seconds at most until it knows. To be called before the process ends: dropping
    /// leaves in the background only, and a group that was not told waits until the member's session ends before others
    /// get its partitions.
    async fn leave(self: Box<Self>);
}
