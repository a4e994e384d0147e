//! Reads one partition from an offset on: out of memory where it keeps up, out of the file where it is behind.

use std::{collections::VecDeque, sync::Arc};

use super::{
    catalog::{Partition, Place, StoredBatch},
    delivery::Delivery,
    store::Files,
};
use crate::{
    CommitHandle, Message, Position, Result,
    batch::{BatchReader, Record},
};

/// A place in a partition.
pub(crate) struct PartitionReader {
    /// What is read.
    pub(crate) partition: Arc<Partition>,
    /// Of the assignment; `None` for reading without a group.
    pub(crate) generation: Option<u64>,
    /// Delivers nothing while set.
    pub(crate) paused: bool,
    next: Option<u64>,
    /// The batch being read, standing in front of `next`.
    open: Option<BatchReader>,
    /// Read from the file and not needed yet.
    ahead: VecDeque<StoredBatch>,
}

impl PartitionReader {
    /// A reader that delivers nothing until it is told where to begin.
    pub(crate) fn new(partition: Arc<Partition>, generation: Option<u64>) -> Self {
        Self { partition, generation, paused: false, next: None, open: None, ahead: VecDeque::new() }
    }

    /// The next record is the one at `offset`; the first one kept, or the end, where it is outside.
    pub(crate) fn begin_at(&mut self, offset: u64) {
        let (start, end) = self.partition.bounds();
        self.next = Some(offset.clamp(start, end));
        self.open = None;
        self.ahead.clear();
    }

    /// Adds messages until there is no room for more. Safe to cancel. Fails only where it adds none: a failure behind good
    /// messages comes at the next call.
    pub(crate) async fn read(&mut self, files: &Files, delivery: &mut Delivery) -> Result<()> {
        let before = delivery.len();
        let read = self.read_on(files, delivery).await;
        if read.is_err() {
            self.open = None;
            if delivery.len() > before {
                return Ok(());
            }
        }
        read
    }

    async fn read_on(&mut self, files: &Files, delivery: &mut Delivery) -> Result<()> {
        let Some(mut next) = self.next.filter(|_| !self.paused) else {
            return Ok(());
        };
        while !delivery.is_full() {
            if let Some(open) = &mut self.open {
                let damage = |reason| files.damage(&self.partition.id, next, &reason);
                if let Some(record) = open.next_record().map_err(damage)? {
                    delivery.push(message(&self.partition, self.generation, next, record));
                    next += 1;
                    self.next = Some(next);
                    continue;
                }
                self.open = None;
            }
            // Waiting comes only before the first message, so that a cancelled call has lost none.
            let may_wait = delivery.is_empty();
            match self.batch_at(files, next, may_wait).await? {
                Found::Batch(batch, from) => {
                    next = from;
                    self.next = Some(next);
                    let damage = |reason| files.damage(&self.partition.id, next, &reason);
                    let mut reader = BatchReader::new(batch.blob).map_err(damage)?;
                    reader.skip(next - batch.base_offset).map_err(damage)?;
                    self.open = Some(reader);
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
                Place::AtEnd => return Ok(Found::Nothing),
                Place::Expired(start) => {
                    let lost = start - offset;
                    tracing::warn!("{}: {lost} records expired before they were read", self.partition.id);
                    offset = start;
                }
                Place::Recent(batch) => {
                    self.ahead.clear();
                    return Ok(Found::Batch(batch, offset));
                }
                Place::InFile => {
                    while let Some(batch) = self.ahead.pop_front() {
                        if (batch.base_offset..batch.end()).contains(&offset) {
                            return Ok(Found::Batch(batch, offset));
                        }
                    }
                    if !may_wait {
                        return Ok(Found::Nothing);
                    }
                    self.ahead = files.batches_from(&self.partition, offset).await?.into();
                    self.ahead.retain(|batch| batch.end() > offset);
                    if let Some(batch) = self.ahead.front().filter(|batch| batch.base_offset > offset) {
                        // Expired between the two looks.
                        offset = batch.base_offset;
                    }
                    if self.ahead.is_empty() {
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
    // The reader stops where it would have to wait with messages in hand.
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
    /// This one, to be read from that offset on.
    Batch(StoredBatch, u64),
    Nothing,
}

fn message(partition: &Partition, generation: Option<u64>, offset: u64, record: Record) -> Message {
    let position = Position { topic_partition: partition.id.clone(), offset };
    let handle = generation.map(|generation| CommitHandle { position: position.clone(), generation });
    let Record { key, payload, headers, timestamp } = record;
    Message { position, key, payload, headers, timestamp, handle }
}
