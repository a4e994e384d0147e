//! What a service implements.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use event_log::{EventLogError, Message};
use live_store::LiveStoreError;
use serde::{Serialize, de::DeserializeOwned};

/// The work of one service on the records of its topics.
///
/// `decode`, `apply`, `idle` and their kin are pure: they do no I/O and read no clock. `restored`, `refresh`, `store` and `emit` are
/// repeated until they succeed, so that doing them twice must change nothing.
#[async_trait]
pub trait Processor: Send + Sync + 'static {
    /// Its name: in checkpoints, metrics and health. A change makes it start without checkpoints.
    const NAME: &'static str;
    /// A decoded record.
    type Event: Send + Sync + 'static;
    /// What is remembered of one partition, saved as JSON in its checkpoint.
    type State: Default + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What follows from the events, for the world outside.
    type Effect: Send + Sync + 'static;

    /// Decodes a record; `None` where this processor has no use for it.
    ///
    /// # Errors
    /// The reason why the record is refused, with the field that is wrong.
    fn decode(&self, message: &Message, now: DateTime<Utc>) -> Result<Option<Self::Event>, String>;

    /// Stores the events of a batch, before they are applied; one verdict for each, in order. Without a store all are new.
    async fn store(&self, events: &[Self::Event]) -> Result<Vec<Verdict>, ProcessorError> {
        Ok(vec![Verdict::New; events.len()])
    }

    /// Prepares for a state that was read from a checkpoint: loads what it refers to. What is to change in it is saved before an
    /// event is applied.
    async fn restored(
        &self,
        _state: &Self::State,
    ) -> Result<Option<StateUpdate<Self::State>>, ProcessorError> {
        Ok(None)
    }

    /// What inputs from outside of the log, such as settings that users change, change in the state. It is saved, with the offset
    /// of the next event, before that is applied. Called before each batch, but not for events that may have been applied before
    /// a crash: those are applied again as they were then.
    async fn refresh(
        &self,
        _state: &Self::State,
    ) -> Result<Option<StateUpdate<Self::State>>, ProcessorError> {
        Ok(None)
    }

    /// Applies an event to the state of its partition. `now` is a clock that is never set back.
    fn apply(
        &self,
        state: &mut Self::State,
        event: &Self::Event,
        now: DateTime<Utc>,
        effects: &mut Vec<Self::Effect>,
    );

    /// Whether [`Processor::idle`] would do something at `now`.
    fn is_idle_due(&self, _state: &Self::State, _now: DateTime<Utc>) -> bool {
        false
    }

    /// What follows from time alone. Called only for a partition that has been read to its end.
    fn idle(&self, _state: &mut Self::State, _now: DateTime<Utc>, _effects: &mut Vec<Self::Effect>) {}

    /// The time before `now` is not idleness: the partition was assigned just now, or the log was unavailable.
    fn restart_idle(&self, _state: &mut Self::State, _now: DateTime<Utc>) {}

    /// Takes over what other partitions of the topic have of this one's keys, after the number of partitions has changed.
    /// Whether the state has changed.
    fn adopt(&self, _state: &mut Self::State, _others: &OtherPartitions<Self::State>) -> bool {
        false
    }

    /// Effects of the end of the process, beside the state.
    fn finish(&self, _state: &Self::State, _effects: &mut Vec<Self::Effect>) {}

    /// Emits effects, before the checkpoint that stands for them is saved.
    async fn emit(&self, effects: &[Self::Effect]) -> Result<(), ProcessorError>;
}

/// A change of a state.
pub type StateUpdate<S> = Box<dyn FnOnce(&mut S) + Send>;

/// What became of an event in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Stored now.
    New,
    /// Stored before, out of a record at the same partition and offset, at this time by the clock of who stored it: this
    /// record, delivered again after a crash, or one of a log that was replaced since.
    Redelivered(DateTime<Utc>),
    /// Stored before, out of another record.
    Duplicate,
}

/// The saved states of the other partitions of a topic, for [`Processor::adopt`].
pub struct OtherPartitions<S> {
    /// Of partitions that the topic no longer has.
    pub gone: Vec<S>,
    /// Of the partitions that the topic has.
    pub existing: Vec<S>,
    pub(crate) partition: i32,
    pub(crate) partition_count: i32,
}

impl<S> OtherPartitions<S> {
    /// Whether records of this key are in the partition at present.
    pub fn is_here(&self, key: &[u8]) -> bool {
        event_log::partition_of(key, self.partition_count) == self.partition
    }
}

/// A failure of [`Processor::store`] or [`Processor::emit`].
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    /// The same call may succeed later: it is repeated until it does.
    #[error("{0}")]
    Unavailable(String),
    /// Repeating does not help: the processor ends.
    #[error("{0:#}")]
    Failed(anyhow::Error),
}

impl From<LiveStoreError> for ProcessorError {
    fn from(error: LiveStoreError) -> Self {
        if error.is_transient() {
            return Self::Unavailable(error.to_string());
        }
        Self::Failed(anyhow::Error::new(error).context("the live store failed (--store, STORE_URL)"))
    }
}

impl From<EventLogError> for ProcessorError {
    fn from(error: EventLogError) -> Self {
        if error.is_transient() {
            return Self::Unavailable(format!("the event log: {error}"));
        }
        Self::Failed(anyhow::Error::new(error).context("the event log failed (--log, LOG_URL)"))
    }
}
