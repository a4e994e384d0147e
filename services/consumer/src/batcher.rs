//! Gathers messages into batches, by size and age. Pure: the caller brings the messages and the time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use event_log::{CommitHandle, DEAD_LETTER_SUFFIX, Message, NewRecord, TopicPartition, dead_letter};
use live_store::StoredTick;
use market::Candle;
use tokio::time::Instant;

/// Messages of one batch, in bytes, beyond which it is full however few the messages: at most as much is gathered,
/// inserted and counted at a time, so that a topic full of large messages takes no more memory than one of ticks.
const MAX_BATCH_BYTES: usize = 16 << 20;

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
    /// Their size, in bytes.
    bytes: usize,
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
        if self.batch.bytes >= MAX_BATCH_BYTES {
            return 0;
        }
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

    /// Leaves out the ticks of partitions that have gone. Should one of them come back, its state begins at its checkpoint,
    /// and everything since is delivered again: what was read before must not be counted as well.
    pub(crate) fn forget(&mut self, gone: &[TopicPartition]) {
        let Batch { ticks, origins, partitions, .. } = &mut self.batch;
        let mut places = Vec::with_capacity(partitions.len());
        let mut kept = 0_u16;
        partitions.retain(|(partition, _)| {
            let stays = !gone.contains(partition);
            places.push(stays.then_some(kept));
            kept += u16::from(stays);
            stays
        });
        let before = ticks.len();
        let staying = std::mem::take(ticks).into_iter().zip(std::mem::take(origins));
        let staying = staying.filter_map(|(tick, origin)| Some((tick, (*places.get(usize::from(origin))?)?)));
        (*ticks, *origins) = staying.unzip();
        self.batch.messages -= before - self.batch.ticks.len();
        if self.batch.is_empty() {
            (self.since, self.batch.bytes) = (None, 0);
        }
    }

    /// Takes a message in of which only the handle counts: it was dealt with before.
    pub(crate) fn push_known(&mut self, mut message: Message, arrived: Instant) {
        self.take_handle(&mut message, arrived);
    }

    fn take_handle(&mut self, message: &mut Message, arrived: Instant) -> Option<u16> {
        let handle = message.handle.take()?;
        self.since.get_or_insert(arrived);
        self.batch.messages += 1;
        self.batch.bytes += message.size();
        Some(self.batch.origin(handle))
    }

    /// Takes a message in: reads it, or makes a dead letter of it.
    pub(crate) fn push(&mut self, mut message: Message, now: DateTime<Utc>, arrived: Instant) {
        let Some(origin) = self.take_handle(&mut message, arrived) else { return };
        let refused = if &*message.position.topic_partition.topic == topics::quoted_candle::TOPIC {
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

    fn push_candle(&mut self, message: &Message) -> Result<(), String> {
        let candle = topics::quoted_candle::decode(&message.payload).map_err(|error| error.to_string())?;
        self.batch.provider_candles.push(candle);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use event_log::{Event, StartAt, TopicSpec};

    use super::*;

    const TICK: &str = r#"{"symbol":"AAPL","timestamp":"2024-01-02T15:04:05Z","price":1,"volume":1,"open":1,"high":1,"low":1,"change_percent":0,"source":"test","received_at":"2024-01-02T15:04:05Z","seq":1}"#;

    /// One message of each of three partitions; handles come from a log only.
    async fn messages() -> Vec<Message> {
        let folder = tempfile::tempdir().unwrap();
        let log =
            event_log::open(&format!("sqlite:{}", folder.path().join("log.db").display())).await.unwrap();
        let topic = TopicSpec {
            name: topics::tick::STOCK_PRICES.to_owned(),
            partitions: 3,
            retention: Duration::from_hours(1),
        };
        log.ensure_topics(&[topic]).await.unwrap();
        let record = |n: u8| NewRecord {
            key: Some(vec![n].into()),
            payload: TICK.into(),
            headers: Vec::new(),
            timestamp: Utc::now(),
        };
        let publisher = log.publisher().unwrap();
        let sent = publisher.send(topics::tick::STOCK_PRICES, (0..20).map(record).collect()).await.unwrap();
        sent.durable().await.unwrap();
        let mut subscription = log.subscribe("test", &[topics::tick::STOCK_PRICES]).await.unwrap();
        let (deadline, mut all) = (Instant::now() + Duration::from_secs(30), Vec::new());
        while all.len() < 20 {
            assert!(Instant::now() < deadline, "the log does not deliver");
            match subscription.next(100, Duration::from_millis(100)).await.unwrap() {
                Event::Assigned(partitions) => {
                    for partition in partitions {
                        subscription.seek(&partition, StartAt::Beginning).await.unwrap();
                    }
                }
                Event::Messages(messages) => all.extend(messages),
                Event::Standby | Event::Revoked(_) => {}
            }
        }
        all
    }

    #[tokio::test]
    async fn partitions_that_have_gone_take_their_ticks_with_them_and_no_others() {
        let messages = messages().await;
        let gone = messages[0].position.topic_partition.clone();
        let expected: Vec<(i32, u64)> = messages
            .iter()
            .map(|message| (message.position.topic_partition.partition, message.position.offset))
            .filter(|(partition, _)| *partition != gone.partition)
            .collect();
        let mut batcher = Batcher::new(100, Duration::from_secs(1));
        for message in messages {
            batcher.push(message, Utc::now(), Instant::now());
        }
        batcher.forget(std::slice::from_ref(&gone));
        let batch = batcher.take();
        assert_eq!(batch.messages, expected.len());
        let left: Vec<(i32, u64)> =
            batch.ticks.iter().map(|stored| (stored.partition, stored.offset)).collect();
        assert_eq!(left, expected);
        for (stored, origin) in batch.ticks.iter().zip(&batch.origins) {
            assert_eq!(batch.partitions[usize::from(*origin)].0.partition, stored.partition);
        }
    }

    #[tokio::test]
    async fn a_batch_whose_partitions_have_all_gone_is_empty_and_not_due() {
        let mut batcher = Batcher::new(100, Duration::ZERO);
        let mut gone = Vec::new();
        for message in messages().await {
            gone.push(message.position.topic_partition.clone());
            batcher.push(message, Utc::now(), Instant::now());
        }
        batcher.forget(&gone);
        assert!(batcher.is_empty() && batcher.due_at().is_none());
    }
}
