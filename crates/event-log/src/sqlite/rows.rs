//! From calls of `send` to rows: assigns offsets, and joins what belongs together.

use std::{collections::BTreeMap, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::{
    catalog::{Partition, StoredBatch},
    journal::{Entry, JournalBatch},
    writer::Append,
};
use crate::batch;

/// Size up to which records of one partition are joined in one row, in bytes. Not larger, because a message keeps its whole
/// batch in memory.
pub(crate) const BATCH_BYTES: usize = 256 << 10;

/// Consecutive records of one partition.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) partition: Arc<Partition>,
    pub(crate) base_offset: u64,
    pub(crate) count: u64,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) stored_ms: i64,
    pub(crate) blob: Bytes,
}

impl Row {
    /// The same for the journal.
    pub(crate) fn entry(&self) -> Entry {
        Entry::Batch(JournalBatch {
            topic: self.partition.topic_id,
            partition: self.partition.id.partition,
            base_offset: self.base_offset,
            count: self.count,
            max_timestamp_ms: self.max_timestamp_ms,
            stored_ms: self.stored_ms,
            blob: self.blob.clone(),
        })
    }

    /// From the journal, in this partition.
    pub(crate) fn from_journal(partition: Arc<Partition>, entry: JournalBatch) -> Self {
        let JournalBatch { base_offset, count, max_timestamp_ms, stored_ms, blob, .. } = entry;
        Self { partition, base_offset, count, max_timestamp_ms, stored_ms, blob }
    }

    /// The same for readers in this process.
    pub(crate) fn stored(&self) -> StoredBatch {
        StoredBatch { base_offset: self.base_offset, count: self.count, blob: self.blob.clone() }
    }

    fn key(&self) -> (i64, i32) {
        (self.partition.topic_id, self.partition.id.partition)
    }
}

/// Assigns the offsets and joins chunks of one partition. Returns the rows, and for each append the base offsets of its chunks.
pub(crate) fn lay_out(appends: &mut [Append], stored_ms: i64) -> (Vec<Row>, Vec<Vec<u64>>) {
    let mut rows: Vec<(Row, BytesMut)> = Vec::new();
    let mut last_row: BTreeMap<(i64, i32), usize> = BTreeMap::new();
    let mut bases = Vec::with_capacity(appends.len());
    for append in appends {
        let mut chunk_bases = Vec::with_capacity(append.chunks.len());
        for chunk in &mut append.chunks {
            let key = (chunk.partition.topic_id, chunk.partition.id.partition);
            let blob = std::mem::take(&mut chunk.blob);
            let last = last_row.get(&key).and_then(|index| rows.get_mut(*index));
            let base_offset = last
                .as_ref()
                .map_or_else(|| chunk.partition.bounds().1, |(row, _)| row.base_offset + row.count);
            chunk_bases.push(base_offset);
            match last {
                Some((row, joined)) if joined.len() + blob.len() <= BATCH_BYTES => {
                    joined.extend_from_slice(batch::records_of(&blob));
                    row.count += chunk.count;
                    row.max_timestamp_ms = row.max_timestamp_ms.max(chunk.max_timestamp_ms);
                }
                _ => {
                    last_row.insert(key, rows.len());
                    let partition = Arc::clone(&chunk.partition);
                    let (count, max_timestamp_ms) = (chunk.count, chunk.max_timestamp_ms);
                    let row = Row {
                        partition,
                        base_offset,
                        count,
                        max_timestamp_ms,
                        stored_ms,
                        blob: Bytes::new(),
                    };
                    rows.push((row, blob));
                }
            }
        }
        bases.push(chunk_bases);
    }
    let rows = rows.into_iter().map(|(row, blob)| Row { blob: blob.freeze(), ..row }).collect();
    (rows, bases)
}

/// A row for the database.
pub(crate) struct JoinedRow {
    pub(crate) row: Row,
    /// It consists of several.
    pub(crate) is_joined: bool,
}

/// Joins rows of the same partition, which are in the order of their offsets, up to [`BATCH_BYTES`].
pub(crate) fn join<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<JoinedRow> {
    let mut by_partition: BTreeMap<(i64, i32), Vec<&Row>> = BTreeMap::new();
    rows.for_each(|row| by_partition.entry(row.key()).or_default().push(row));
    let mut joined = Vec::new();
    for rows in by_partition.into_values() {
        let mut rest = rows.as_slice();
        while let Some(first) = rest.first() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|row| {
                bytes += row.blob.len();
                bytes <= BATCH_BYTES
            });
            let (together, behind) = rest.split_at(fits.count().max(1));
            rest = behind;
            joined.push(join_all(first, together));
        }
    }
    joined
}

fn join_all(first: &Row, together: &[&Row]) -> JoinedRow {
    let mut row = first.clone();
    if let [_, others @ ..] = together
        && !others.is_empty()
    {
        let mut blob = BytesMut::from(&*first.blob);
        for other in others {
            blob.extend_from_slice(batch::records_of(&other.blob));
            row.count += other.count;
            row.max_timestamp_ms = row.max_timestamp_ms.max(other.max_timestamp_ms);
            // Kept until the last of them expires.
            row.stored_ms = row.stored_ms.max(other.stored_ms);
        }
        row.blob = blob.freeze();
    }
    JoinedRow { row, is_joined: together.len() > 1 }
}
