//! The one task that writes. Operations that wait together are stored in one transaction, so that many senders share one sync
//! of the disk; receipts resolve and readers wake after the commit.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::BytesMut;
use chrono::Utc;
use sqlx::SqliteConnection;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::{
    catalog::{Catalog, Partition, StoredBatch, Topic},
    groups::{CommitPermit, Group},
    store::Files,
};
use crate::{Position, Result, Retention, TopicSpec, batch};

/// Limit of records in one transaction, in bytes.
const TRANSACTION_BYTES: usize = 8 << 20;
/// Limit of operations in one transaction.
const TRANSACTION_OPS: usize = 2048;
/// Size up to which chunks of one partition are joined, in bytes. Not larger, because a message keeps its whole batch in
/// memory.
pub(crate) const BATCH_BYTES: usize = 256 << 10;
/// Limit of expired batches that one transaction deletes; records wait meanwhile.
const EXPIRE_BATCHES: i64 = 64;

/// Records of one partition that are to be stored.
pub(crate) struct Chunk {
    /// Their partition.
    pub(crate) partition: Arc<Partition>,
    /// Number of records.
    pub(crate) count: u64,
    /// Latest timestamp of a record, in milliseconds.
    pub(crate) max_timestamp_ms: i64,
    /// The records, see [`crate::batch`].
    pub(crate) blob: BytesMut,
}

/// One call of `send`.
pub(crate) struct Append {
    /// Its records, by partition.
    pub(crate) chunks: Vec<Chunk>,
    /// For each record, in the order sent, the index of its chunk.
    pub(crate) chunk_of: Vec<u32>,
    /// The receipt.
    pub(crate) reply: oneshot::Sender<Result<Vec<Position>>>,
    /// Its share of the publisher's buffer.
    pub(crate) share: OwnedSemaphorePermit,
}

/// One call of `commit`.
pub(crate) struct Commit {
    /// The group.
    pub(crate) group: Arc<Group>,
    /// The offset of each partition.
    pub(crate) offsets: Vec<(Arc<Partition>, u64)>,
    /// Keeps the partitions assigned until the commit is stored.
    pub(crate) permit: CommitPermit,
    /// The result.
    pub(crate) reply: oneshot::Sender<Result<()>>,
}

/// An operation for the writer.
pub(crate) enum Op {
    /// Store records.
    Append(Append),
    /// Store the offsets of a group.
    Commit(Commit),
    /// Create the topics that are missing.
    CreateTopics {
        /// The topics, checked.
        specs: Vec<TopicSpec>,
        /// The result.
        reply: oneshot::Sender<Result<()>>,
    },
    /// Delete some expired batches.
    Expire {
        /// Result: whether there may be more expired batches.
        reply: oneshot::Sender<Result<bool>>,
    },
}

impl Op {
    fn bytes(&self) -> usize {
        match self {
            Op::Append(append) => append.chunks.iter().map(|chunk| chunk.blob.len()).sum(),
            _ => 0,
        }
    }
}

/// A row to insert.
struct Row {
    partition: Arc<Partition>,
    base_offset: u64,
    count: u64,
    max_timestamp_ms: i64,
    blob: BytesMut,
}

/// State of the writing task.
pub(crate) struct Writer {
    /// For errors.
    pub(crate) files: Files,
    /// The only connection that writes.
    pub(crate) connection: SqliteConnection,
    /// Receives the durable batches.
    pub(crate) catalog: Arc<Catalog>,
    /// Wakes the readers.
    pub(crate) changed: Arc<watch::Sender<u64>>,
    /// Held until the last write has ended.
    pub(crate) _lock: sqlite_file::Lock,
}

impl Writer {
    /// Runs until every handle of the log is dropped and all accepted operations are done.
    pub(crate) async fn run(mut self, mut ops: mpsc::Receiver<Op>) {
        while let Some(first) = ops.recv().await {
            let mut bytes = first.bytes();
            let mut together = vec![first];
            while bytes < TRANSACTION_BYTES && together.len() < TRANSACTION_OPS {
                let Ok(op) = ops.try_recv() else { break };
                bytes += op.bytes();
                together.push(op);
            }
            self.work(together).await;
        }
    }

    async fn work(&mut self, ops: Vec<Op>) {
        let (mut appends, mut commits) = (Vec::new(), Vec::new());
        for op in ops {
            match op {
                Op::Append(append) => appends.push(append),
                Op::Commit(commit) => commits.push(commit),
                Op::CreateTopics { specs, reply } => {
                    let done = self.create_topics(&specs).await;
                    let _ = reply.send(done.map_err(|error| self.files.failure(&error)));
                }
                Op::Expire { reply } => {
                    let done = self.expire().await;
                    let _ = reply.send(done.map_err(|error| self.files.failure(&error)));
                }
            }
        }
        self.store(appends, commits).await;
    }

    /// Stores everything in one transaction, or nothing, and sends the result to all senders.
    async fn store(&mut self, mut appends: Vec<Append>, commits: Vec<Commit>) {
        if appends.is_empty() && commits.is_empty() {
            return;
        }
        let (rows, bases) = lay_out(&mut appends);
        match self.transact(rows, &commits).await {
            Ok(batches) => {
                for (partition, batch) in batches {
                    partition.append(batch);
                }
                self.changed.send_modify(|count| *count = count.wrapping_add(1));
                for (append, bases) in appends.into_iter().zip(bases) {
                    append.acknowledge(&bases);
                }
                for Commit { group, offsets, permit, reply } in commits {
                    group.set_committed(&offsets);
                    drop(permit);
                    let _ = reply.send(Ok(()));
                }
            }
            Err(error) => {
                for append in appends {
                    let _ = append.reply.send(Err(self.files.failure(&error)));
                }
                for commit in commits {
                    let _ = commit.reply.send(Err(self.files.failure(&error)));
                }
            }
        }
    }

    async fn transact(
        &mut self,
        rows: Vec<Row>,
        commits: &[Commit],
    ) -> Result<Vec<(Arc<Partition>, StoredBatch)>, sqlx::Error> {
        begin(&mut self.connection).await?;
        match write(&mut self.connection, rows, commits).await {
            Ok(batches) => Ok(batches),
            Err(error) => {
                roll_back(&mut self.connection).await;
                Err(error)
            }
        }
    }

    async fn create_topics(&mut self, specs: &[TopicSpec]) -> Result<(), sqlx::Error> {
        const INSERT: &str = "INSERT INTO topics (name, partitions, retention_ms) VALUES (?1, ?2, ?3)";
        for spec in specs {
            if self.catalog.contains(&spec.name) {
                continue;
            }
            let retention = match spec.retention {
                Retention::For(retention) => retention,
                Retention::LatestOfKey => Duration::MAX,
            };
            let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
            let id = sqlx::query(INSERT)
                .bind(spec.name.clone())
                .bind(spec.partitions)
                .bind(retention_ms)
                .execute(&mut self.connection)
                .await?
                .last_insert_rowid();
            let bounds = vec![(0, 0); spec.partitions.unsigned_abs() as usize];
            self.catalog.insert(Topic::new(id, &spec.name, retention, bounds));
        }
        Ok(())
    }

    /// Deletes some expired batches of each partition, never the newest. Returns whether there may be more.
    async fn expire(&mut self) -> Result<bool, sqlx::Error> {
        let now_ms = Utc::now().timestamp_millis();
        let mut more = false;
        for topic in self.catalog.all() {
            let kept_ms = i64::try_from(topic.retention.as_millis()).unwrap_or(i64::MAX);
            let before_ms = now_ms.saturating_sub(kept_ms);
            for partition in &topic.partitions {
                more |= expire_partition(&mut self.connection, partition, before_ms).await?;
            }
        }
        Ok(more)
    }
}

impl Append {
    fn acknowledge(self, bases: &[u64]) {
        let Self { chunks, chunk_of, reply, share } = self;
        drop(share);
        if reply.is_closed() {
            return;
        }
        let mut next = bases.to_vec();
        let position = |chunk: u32| {
            let chunk = chunk as usize;
            let offset = next[chunk];
            next[chunk] += 1;
            Position { topic_partition: chunks[chunk].partition.id.clone(), offset }
        };
        let positions = chunk_of.into_iter().map(position).collect();
        let _ = reply.send(Ok(positions));
    }
}

/// Assigns the offsets and joins chunks of one partition. Returns the rows, and for each append the base offsets of its chunks.
fn lay_out(appends: &mut [Append]) -> (Vec<Row>, Vec<Vec<u64>>) {
    let mut rows: Vec<Row> = Vec::new();
    let mut last_row: HashMap<(i64, i32), usize> = HashMap::new();
    let mut bases = Vec::with_capacity(appends.len());
    for append in appends {
        let mut chunk_bases = Vec::with_capacity(append.chunks.len());
        for chunk in &mut append.chunks {
            let key = (chunk.partition.topic_id, chunk.partition.id.partition);
            let blob = std::mem::take(&mut chunk.blob);
            let last = last_row.get(&key).and_then(|index| rows.get_mut(*index));
            let base_offset =
                last.as_ref().map_or_else(|| chunk.partition.bounds().1, |row| row.base_offset + row.count);
            chunk_bases.push(base_offset);
            match last {
                Some(row) if row.blob.len() + blob.len() <= BATCH_BYTES => {
                    row.blob.extend_from_slice(batch::records_of(&blob));
                    row.count += chunk.count;
                    row.max_timestamp_ms = row.max_timestamp_ms.max(chunk.max_timestamp_ms);
                }
                _ => {
                    last_row.insert(key, rows.len());
                    let partition = Arc::clone(&chunk.partition);
                    let (count, max_timestamp_ms) = (chunk.count, chunk.max_timestamp_ms);
                    rows.push(Row { partition, base_offset, count, max_timestamp_ms, blob });
                }
            }
        }
        bases.push(chunk_bases);
    }
    (rows, bases)
}

async fn begin(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("BEGIN IMMEDIATE").execute(connection).await.map(|_| ())
}

async fn roll_back(connection: &mut SqliteConnection) {
    // Fails if SQLite has rolled back by itself, as it does on a full disk.
    if let Err(error) = sqlx::query("ROLLBACK").execute(connection).await {
        tracing::debug!("nothing to roll back: {error}");
    }
}

async fn write(
    connection: &mut SqliteConnection,
    rows: Vec<Row>,
    commits: &[Commit],
) -> Result<Vec<(Arc<Partition>, StoredBatch)>, sqlx::Error> {
    const BATCH: &str = "INSERT INTO batches
        (topic, partition, base_offset, records, max_timestamp_ms, stored_ms, blob) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    const OFFSET: &str =
        "INSERT INTO group_offsets (group_name, topic, partition, next_offset) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (group_name, topic, partition) DO UPDATE SET next_offset = excluded.next_offset";
    let stored_ms = Utc::now().timestamp_millis();
    let mut batches = Vec::with_capacity(rows.len());
    for Row { partition, base_offset, count, max_timestamp_ms, blob } in rows {
        let blob = blob.freeze();
        sqlx::query(BATCH)
            .bind(partition.topic_id)
            .bind(partition.id.partition)
            .bind(base_offset as i64)
            .bind(count as i64)
            .bind(max_timestamp_ms)
            .bind(stored_ms)
            .bind(blob.to_vec())
            .execute(&mut *connection)
            .await?;
        batches.push((partition, StoredBatch { base_offset, count, blob }));
    }
    for commit in commits {
        for (partition, next) in &commit.offsets {
            sqlx::query(OFFSET)
                .bind(commit.group.name.clone())
                .bind(partition.topic_id)
                .bind(partition.id.partition)
                .bind(*next as i64)
                .execute(&mut *connection)
                .await?;
        }
    }
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(batches)
}

async fn expire_partition(
    connection: &mut SqliteConnection,
    partition: &Partition,
    before_ms: i64,
) -> Result<bool, sqlx::Error> {
    // Deletes only from the beginning up to the first batch within the retention, so that a clock change leaves no gap.
    const OLD: &str = "SELECT base_offset, records, stored_ms FROM batches
        WHERE topic = ?1 AND partition = ?2
          AND base_offset < (SELECT max(base_offset) FROM batches WHERE topic = ?1 AND partition = ?2)
        ORDER BY base_offset LIMIT ?3";
    const DELETE: &str = "DELETE FROM batches WHERE topic = ?1 AND partition = ?2 AND base_offset < ?3";
    let number = partition.id.partition;
    let oldest = sqlx::query_as::<_, (i64, i64, i64)>(OLD)
        .bind(partition.topic_id)
        .bind(number)
        .bind(EXPIRE_BATCHES)
        .fetch_all(&mut *connection)
        .await?;
    let expired: Vec<_> = oldest.iter().take_while(|(_, _, stored_ms)| *stored_ms < before_ms).collect();
    let Some((base, records, _)) = expired.last() else {
        return Ok(false);
    };
    let start = base + records;
    sqlx::query(DELETE).bind(partition.topic_id).bind(number).bind(start).execute(connection).await?;
    partition.expire(start.unsigned_abs());
    Ok(expired.len() as i64 == EXPIRE_BATCHES)
}
