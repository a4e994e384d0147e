//! Gathers records into batches, by size and age. Pure: the caller brings the records and the time.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use event_log::{CommitHandle, DEAD_LETTER_SUFFIX, Message, NewRecord, TopicPartition, dead_letter};
use tokio::time::Instant;

use crate::processor::Processor;

/// Records of one batch, in bytes, beyond which it is full however few they are: as much is gathered, stored and applied at a
/// time, so that a topic full of large records takes no more memory than one of ticks.
const MAX_BATCH_BYTES: usize = 16 << 20;

/// What is stored together.
pub(crate) struct Batch<E> {
    /// The events, in order of arrival.
    pub(crate) events: Vec<E>,
    /// Where each event came from.
    pub(crate) places: Vec<Place>,
    /// Dead-letter topic and record.
    pub(crate) dead_letters: Vec<(String, NewRecord)>,
    /// Every partition with records in the batch, and the furthest handle of each.
    pub(crate) partitions: Vec<(TopicPartition, CommitHandle)>,
    /// Records taken in, decodable or not.
    records: usize,
    /// Their size, in bytes.
    bytes: usize,
}

/// Where an event came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The index of its partition in [`Batch::partitions`].
    pub(crate) partition: usize,
    pub(crate) offset: u64,
}

impl<E> Default for Batch<E> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            places: Vec::new(),
            dead_letters: Vec::new(),
            partitions: Vec::new(),
            records: 0,
            bytes: 0,
        }
    }
}

impl<E> Batch<E> {
    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Moves the furthest handle of a partition on; the index of the partition.
    fn advance(&mut self, handle: CommitHandle) -> usize {
        let partition = &handle.position().topic_partition;
        let known = self.partitions.iter().rposition(|(known, _)| known == partition);
        let index = known.unwrap_or(self.partitions.len());
        match self.partitions.get_mut(index) {
            Some((_, furthest)) => *furthest = handle,
            None => self.partitions.push((partition.clone(), handle)),
        }
        index
    }
}

/// The batch being gathered.
pub(crate) struct Batcher<P: Processor> {
    processor: Arc<P>,
    max_records: usize,
    max_age: Duration,
    batch: Batch<P::Event>,
    since: Option<Instant>,
}

impl<P: Processor> Batcher<P> {
    pub(crate) fn new(processor: Arc<P>, max_records: usize, max_age: Duration) -> Self {
        Self { processor, max_records, max_age, batch: Batch::default(), since: None }
    }

    /// How many records still fit.
    pub(crate) fn room(&self) -> usize {
        if self.batch.bytes >= MAX_BATCH_BYTES {
            return 0;
        }
        self.max_records.saturating_sub(self.batch.records)
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
    pub(crate) fn take(&mut self) -> Batch<P::Event> {
        self.since = None;
        std::mem::take(&mut self.batch)
    }

    /// Decodes a record into an event, or makes a dead letter of it. `arrived` is when it was read.
    pub(crate) fn push(&mut self, mut message: Message, now: DateTime<Utc>, arrived: Instant) {
        let Some(handle) = message.handle.take() else { return };
        self.since.get_or_insert(arrived);
        self.batch.records += 1;
        self.batch.bytes += message.size();
        let offset = message.position.offset;
        let partition = self.batch.advance(handle);
        match self.processor.decode(&message, now) {
            Ok(Some(event)) => {
                self.batch.events.push(event);
                self.batch.places.push(Place { partition, offset });
            }
            Ok(None) => {}
            Err(reason) => {
                let topic = format!("{}{DEAD_LETTER_SUFFIX}", message.position.topic_partition.topic);
                self.batch.dead_letters.push((topic, dead_letter(&message, &reason, now)));
            }
        }
    }

    /// Leaves out the events of revoked partitions. Should one of them be assigned again, it is read from its checkpoint on,
    /// and these events are delivered again.
    pub(crate) fn forget(&mut self, revoked: &[TopicPartition]) {
        let Batch { events, places, partitions, records, .. } = &mut self.batch;
        let mut moved_to = Vec::with_capacity(partitions.len());
        let mut kept = 0;
        partitions.retain(|(partition, _)| {
            let stays = !revoked.contains(partition);
            moved_to.push(stays.then_some(kept));
            kept += usize::from(stays);
            stays
        });
        let before = events.len();
        let staying = std::mem::take(events).into_iter().zip(std::mem::take(places));
        let staying = staying.filter_map(|(event, place)| {
            let partition = (*moved_to.get(place.partition)?)?;
            Some((event, Place { partition, ..place }))
        });
        (*events, *places) = staying.unzip();
        *records -= before - events.len();
        // Its dead letters leave with it: the new owner reads their records, too.
        if partitions.is_empty() {
            (self.batch, self.since) = (Batch::default(), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use event_log::Position;

    use super::*;
    use crate::processor::ProcessorError;

    /// Events are payloads; those that begin with `!` are refused.
    struct Payloads;

    #[async_trait]
    impl Processor for Payloads {
        const NAME: &'static str = "payloads";
        type Event = Bytes;
        type State = ();
        type Effect = ();

        fn decode(&self, message: &Message, _now: DateTime<Utc>) -> Result<Option<Bytes>, String> {
            if message.payload.starts_with(b"!") {
                Err("refused".to_owned())
            } else {
                Ok(Some(message.payload.clone()))
            }
        }

        fn apply(&self, (): &mut (), _event: &Bytes, _now: DateTime<Utc>, _effects: &mut Vec<()>) {}

        async fn emit(&self, _effects: &[()]) -> Result<(), ProcessorError> {
            Ok(())
        }
    }

    fn partition(number: i32) -> TopicPartition {
        TopicPartition { topic: "payloads".into(), partition: number }
    }

    fn message(number: i32, offset: u64, payload: &str) -> Message {
        let position = Position { topic_partition: partition(number), offset };
        Message {
            position: position.clone(),
            key: None,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            headers: Vec::new(),
            timestamp: DateTime::UNIX_EPOCH,
            handle: Some(CommitHandle::new(position, 1)),
        }
    }

    fn batcher(max_records: usize) -> Batcher<Payloads> {
        Batcher::new(Arc::new(Payloads), max_records, Duration::from_millis(10))
    }

    fn gathered(messages: impl IntoIterator<Item = Message>) -> Batcher<Payloads> {
        let (mut batcher, now) = (batcher(100), Instant::now());
        messages.into_iter().for_each(|message| batcher.push(message, Utc::now(), now));
        batcher
    }

    #[test]
    fn a_batch_is_due_when_it_is_full_or_old() {
        let (mut batcher, now) = (batcher(2), Instant::now());
        assert!(batcher.is_empty() && !batcher.is_due(now));
        batcher.push(message(0, 0, "a"), Utc::now(), now);
        assert!(!batcher.is_due(now) && batcher.is_due(now + Duration::from_millis(10)));
        batcher.push(message(0, 1, "!"), Utc::now(), now);
        assert!(batcher.is_due(now), "what cannot be decoded counts");
        let batch = batcher.take();
        assert_eq!((batch.events.len(), batch.dead_letters.len(), batch.partitions.len()), (1, 1, 1));
        assert_eq!(batch.partitions[0].1.position().offset, 1, "its handle counts, too");
        assert!(batcher.is_empty() && batcher.due_at().is_none());
    }

    #[test]
    fn revoked_partitions_take_their_events_with_them_and_no_others() {
        let messages = (0..3).flat_map(|offset| (0..3).map(move |number| message(number, offset, "a")));
        let mut batcher = gathered(messages);
        batcher.forget(&[partition(1)]);
        let batch = batcher.take();
        let left: Vec<(i32, u64)> = batch
            .places
            .iter()
            .map(|place| (batch.partitions[place.partition].0.partition, place.offset))
            .collect();
        assert_eq!(left, [(0, 0), (2, 0), (0, 1), (2, 1), (0, 2), (2, 2)]);
        assert_eq!((batch.events.len(), batch.partitions.len()), (6, 2));
    }

    #[test]
    fn a_batch_whose_partitions_are_all_revoked_is_empty_and_not_due() {
        let mut batcher = gathered([message(0, 0, "a"), message(1, 0, "!"), message(1, 1, "b")]);
        batcher.forget(&[partition(0), partition(1)]);
        assert!(batcher.is_empty() && batcher.due_at().is_none());
    }
}
