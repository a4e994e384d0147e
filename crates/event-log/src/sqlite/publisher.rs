//! Publishes to the embedded log.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot};

use super::{
    Shared,
    catalog::Topic,
    rows::BATCH_BYTES,
    writer::{Append, Chunk, Op},
};
use crate::{
    EventLogError, NewRecord, Publisher, Receipt, Result, batch, check::check_records,
    partition::partition_of,
};

/// Limit of records that a publisher has accepted and not stored yet, in bytes.
const BUFFER_BYTES: usize = 32 << 20;

/// Publishes to the embedded log.
pub(crate) struct SqlitePublisher {
    shared: Arc<Shared>,
    share: Arc<Semaphore>,
}

impl SqlitePublisher {
    /// A publisher with an empty buffer.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, share: Arc::new(Semaphore::new(BUFFER_BYTES)) }
    }
}

#[async_trait]
impl Publisher for SqlitePublisher {
    async fn send(&self, topic: &str, records: Vec<NewRecord>) -> Result<Receipt> {
        check_records(topic, &records)?;
        let topic = self.shared.catalog.topic(topic)?;
        let (reply, receipt) = oneshot::channel();
        if records.is_empty() {
            let _ = reply.send(Ok(Vec::new()));
            return Ok(Receipt(receipt));
        }
        let bytes: usize = records.iter().map(batch::encoded_bytes).sum();
        // A batch larger than the limit takes the whole buffer.
        let wanted = u32::try_from(bytes.min(BUFFER_BYTES)).unwrap_or(u32::MAX);
        let share =
            Arc::clone(&self.share).acquire_many_owned(wanted).await.map_err(|_| EventLogError::Closed)?;
        let slot = self.shared.ops.reserve().await.map_err(|_| EventLogError::Closed)?;
        let (chunks, chunk_of) = chunks_of(&topic, &records, bytes);
        slot.send(Op::Append(Append { chunks, chunk_of, reply, share }));
        Ok(Receipt(receipt))
    }
}

/// The records by partition, and for each record, in the order sent, the index of its chunk.
fn chunks_of(topic: &Topic, records: &[NewRecord], bytes: usize) -> (Vec<Chunk>, Vec<u32>) {
    let partitions = topic.partitions.len();
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut chunk_of = Vec::with_capacity(records.len());
    let mut open: HashMap<usize, usize> = HashMap::new();
    let keyless = topic.next_keyless_partition();
    for record in records {
        let number = record.key.as_ref().map_or(keyless, |key| partition_of(key, partitions as i32) as usize);
        let index = match open.get(&number) {
            Some(index) if chunks[*index].blob.len() < BATCH_BYTES => *index,
            _ => {
                let expected = (bytes / partitions.min(records.len()).max(1)).min(BATCH_BYTES);
                chunks.push(Chunk {
                    partition: Arc::clone(&topic.partitions[number]),
                    count: 0,
                    max_timestamp_ms: i64::MIN,
                    blob: batch::begin(expected),
                });
                open.insert(number, chunks.len() - 1);
                chunks.len() - 1
            }
        };
        let chunk = &mut chunks[index];
        batch::append(&mut chunk.blob, record);
        chunk.count += 1;
        chunk.max_timestamp_ms = chunk.max_timestamp_ms.max(record.timestamp.timestamp_millis());
        chunk_of.push(index as u32);
    }
    (chunks, chunk_of)
}
