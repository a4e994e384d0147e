//! Reads one partition from an offset: from memory without a backlog, otherwise from the file.

use std::{collections::VecDeque, sync::Arc};

use super::{
    catalog::{Partition, RecordLocation, StoredBatch},
    delivery::Delivery,
    store::Files,
};
use crate::{
    CommitHandle, Message, Position, Result,
    batch::{BatchReader, Record},
};

/// A reader of one partition.
pub(crate) struct PartitionReader {
    /// The partition.
    pub(crate) partition: Arc<Partition>,
    /// Generation of the assignment; `None` for reading without a group.
    pub(crate) generation: Option<u64>,
    /// Delivers nothing while set.
    pub(crate) paused: bool,
    next: Option<u64>,
    /// The current batch, positioned before `next`.
    current: Option<BatchReader>,
    /// Batches that were read from the file in advance.
    prefetched: VecDeque<StoredBatch>,
}

impl PartitionReader {
    /// A reader that delivers nothing before [`PartitionReader::begin_at`].
    pub(crate) fn new(partition: Arc<Partition>, generation: Option<u64>) -> Self {
        Self { partition, generation, paused: false, next: None, current: None, prefetched: VecDeque::new() }
    }

    /// Sets the next record: the one at `offset`, limited to the bounds of the partition.
    pub(crate) fn begin_at(&mut self, offset: u64) {
        let (start, end) = self.partition.bounds();
        self.next = Some(offset.clamp(start, end));
        self.current = None;
        self.prefetched.clear();
    }

    /// Adds messages until the delivery is full. Safe to cancel. Fails only if it has added no message: a failure after
    /// messages is returned by the next call.
    pub(crate) async fn read(&mut self, files: &Files, delivery: &mut Delivery) -> Result<()> {
        let before = delivery.len();
        let read = self.read_available(files, delivery).await;
        if read.is_err() {
            self.current = None;
            if delivery.len() > before {
                return Ok(());
            }
        }
        read
    }

    async fn read_available(&mut self, files: &Files, delivery: &mut Delivery) -> Result<()> {
        let Some(mut next) = self.next.filter(|_| !self.paused) else {
            return Ok(());
        };
        while !delivery.is_full() {
            if let Some(current) = &mut self.current {
                let damage = |reason| files.damage(&self.partition.id, next, &reason);
                if let Some(record) = current.next_record().map_err(damage)? {
                    delivery.push(message(&self.partition, self.generation, next, record));
                    next += 1;
                    self.next = Some(next);
                    continue;
                }
                self.current = None;
            }
            // Waits only before the first message, so that a cancelled call loses none.
            let may_wait = delivery.is_empty();
            match self.batch_at(files, next, may_wait).await? {
                Found::Batch(batch, from) => {
                    next = from;
                    self.next = Some(next);
                    let damage = |reason| files.damage(&self.partition.id, next, &reason);
                    let mut reader = BatchReader::new(batch.blob).map_err(damage)?;
                    reader.skip(next - batch.base_offset).map_err(damage)?;
                    self.current = Some(reader);
                }
                Found::Nothing => break,
            }
        }
        Ok(())
    }

    async fn batch_at(&mut self, files: &Files, wanted: u64, may_wait: bool) -> Result<Found> {
        let mut offset = wanted;
        loop {
            match self.partition.find(offset) {
                RecordLocation::AtEnd => return Ok(Found::Nothing),
                RecordLocation::Expired(start) => {
                    let lost = start - offset;
                    tracing::warn!("{}: {lost} records expired before they were read", self.partition.id);
                    offset = start;
                }
                RecordLocation::Recent(batch) => {
                    self.prefetched.clear();
                    return Ok(Found::Batch(batch, offset));
                }
                RecordLocation::InFile => {
                    while let Some(batch) = self.prefetched.pop_front() {
                        if (batch.base_offset..batch.end()).contains(&offset) {
                            return Ok(Found::Batch(batch, offset));
                        }
                    }
                    if !may_wait {
                        return Ok(Found::Nothing);
                    }
                    self.prefetched = files.batches_from(&self.partition, offset).await?.into();
                    self.prefetched.retain(|batch| batch.end() > offset);
                    if let Some(batch) = self.prefetched.front().filter(|batch| batch.base_offset > offset) {
                        // Expired since the lookup.
                        offset = batch.base_offset;
                    }
                    if self.prefetched.is_empty() {
                        return Ok(Found::Nothing);
                    }
                }
            }
        }
    }
}

/// Up to `max` messages from an offset on, without a group; see [`crate::EventLog::read`].
pub(crate) async fn read_from(
    partition: Arc<Partition>,
    files: &Files,
    offset: u64,
    max: usize,
) -> Result<Vec<Message>> {
    let mut reader = PartitionReader::new(partition, None);
    reader.begin_at(offset);
    let mut delivery = Delivery::new(max);
    // The reader returns instead of waiting once it has messages.
    loop {
        let mut more = delivery.rest();
        reader.read(files, &mut more).await?;
        let is_end = more.is_empty();
        delivery.append(more);
        if is_end || delivery.is_full() {
            return Ok(delivery.into_messages());
        }
    }
}

enum Found {
    /// This batch, to be read from this offset.
    Batch(StoredBatch, u64),
    Nothing,
}

fn message(partition: &Partition, generation: Option<u64>, offset: u64, record: Record) -> Message {
    let position = Position { topic_partition: partition.id.clone(), offset };
    let handle = generation.map(|generation| CommitHandle { position: position.clone(), generation });
    let Record { key, payload, headers, timestamp } = record;
    Message { position, key, payload, headers, timestamp, handle }
}
