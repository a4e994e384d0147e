//! Gathers messages into batches, by size and age. Pure: the caller brings the messages and the time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use event_log::{CommitHandle, DEAD_LETTER_SUFFIX, Message, NewRecord, TopicPartition, dead_letter};
use live_store::StoredTick;
use market::{Candle, CandleOrigin};
use tokio::time::Instant;

/// What is written together: ticks in order of arrival, provider bars, dead letters, and for each partition the
/// handle of its last message.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Ticks, each with the partition that delivered it (an index into `partitions`).
    pub(crate) ticks: Vec<StoredTick>,
    /// For each tick, whose topic it came from.
    pub(crate) origins: Vec<u16>,
    /// Bars as providers quote them.
    pub(crate) provider_candles: Vec<Candle>,
    /// Dead-letter topic and record.
    pub(crate) dead_letters: Vec<(String, NewRecord)>,
    /// Every partition with messages in the batch, and the furthest handle of each.
    pub(crate) partitions: Vec<(TopicPartition, CommitHandle)>,
    /// Messages taken in, readable or not.
    pub(crate) messages: usize,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// The furthest handle of a partition moves on; its index tells ticks where they came from.
    fn origin(&mut self, handle: CommitHandle) -> u16 {
        let partition = &handle.position().topic_partition;
        let known = self.partitions.iter().rposition(|(known, _)| known == partition);
        let index = known.unwrap_or(self.partitions.len());
        if let Some((_, furthest)) = self.partitions.get_mut(index) {
            *furthest = handle;
        } else {
            self.partitions.push((partition.clone(), handle));
        }
        // A consumer holds far fewer than 65,536 partitions; past that the candle state of two would be mixed up.
        u16::try_from(index).unwrap_or(u16::MAX)
    }
}

/// The batch being gathered.
#[derive(Debug)]
pub(crate) struct Batcher {
    max_messages: usize,
    max_age: Duration,
    batch: Batch,
    since: Option<Instant>,
}

impl Batcher {
    pub(crate) fn new(max_messages: usize, max_age: Duration) -> Self {
        Self { max_messages, max_age, batch: Batch::default(), since: None }
    }

    /// How many messages still fit.
    pub(crate) fn room(&self) -> usize {
        self.max_messages.saturating_sub(self.batch.messages)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// When the batch is due because of its age; `None` while it is empty.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        self.since.map(|since| since + self.max_age)
    }

    /// Full, or old enough.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.room() == 0 || self.due_at().is_some_and(|due| due <= now)
    }

    /// The batch so far; a new one begins.
    pub(crate) fn take(&mut self) -> Batch {
        self.since = None;
        std::mem::take(&mut self.batch)
    }

    /// Takes a message in: reads it, or makes a dead letter of it.
    pub(crate) fn push(&mut self, mut message: Message, now: DateTime<Utc>, arrived: Instant) {
        let Some(handle) = message.handle.take() else { return };
        self.since.get_or_insert(arrived);
        self.batch.messages += 1;
        let origin = self.batch.origin(handle);
        let refused = if &*message.position.topic_partition.topic == topics::candle::TOPIC {
            self.push_candle(&message)
        } else {
            self.push_tick(&message, now, origin)
        };
        if let Err(reason) = refused {
            let topic = format!("{}{DEAD_LETTER_SUFFIX}", message.position.topic_partition.topic);
            self.batch.dead_letters.push((topic, dead_letter(&message, &reason, now)));
        }
    }

    fn push_tick(&mut self, message: &Message, now: DateTime<Utc>, origin: u16) -> Result<(), String> {
        let tick = topics::tick::decode(&message.payload, now).map_err(|error| error.to_string())?;
        let position = &message.position;
        self.batch.ticks.push(StoredTick {
            tick,
            processed_at: now,
            partition: position.topic_partition.partition,
            offset: position.offset,
        });
        self.batch.origins.push(origin);
        Ok(())
    }

    /// Bars built from ticks were stored by the consumer that built them; only the providers' are news.
    fn push_candle(&mut self, message: &Message) -> Result<(), String> {
        let candle = topics::candle::decode(&message.payload).map_err(|error| error.to_string())?;
        if candle.source.origin == CandleOrigin::Provider {
            self.batch.provider_candles.push(candle);
        }
        Ok(())
    }
}
