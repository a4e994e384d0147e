//! The one task that writes. Operations that wait together are one transaction, so that many senders share one sync of the
//! disk; receipts resolve and readers wake after it. Small transactions go to the journal, and from there into the database
//! when they are many; large ones go into the database.

use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use chrono::Utc;
use sqlx::{Connection, SqliteConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    catalog::{Catalog, Partition},
    groups::{CommitPermit, Group},
    journal::{Entry, Journal, JournalOffset},
    rows::{Row, lay_out},
    store::{Files, OffsetKey},
    tables,
};
use crate::{EventLogError, Position, Result, TopicSpec};

/// Limit of records in one transaction, in bytes.
const TRANSACTION_BYTES: usize = 8 << 20;
/// Limit of operations in one transaction.
const TRANSACTION_OPS: usize = 2048;
/// How long the first operation waits for others: those of a feed that sends to two topics come right after each other.
const GATHER_MS: u64 = 2;
/// Time between the ends of two transactions that are smaller than [`ENOUGH_BYTES`]. Each sync writes whole blocks of the
/// disk, so that fewer syncs write less.
const GROUP_INTERVAL_MS: u64 = 10;
/// Records that are written without waiting for others, in bytes.
const ENOUGH_BYTES: usize = 64 << 10;
/// Transactions from this size on go into the database, in bytes.
const DIRECT_BYTES: usize = 16 << 10;
/// Limit of the records in the journal, in bytes. They are in memory, too.
const JOURNAL_BYTES: usize = 1 << 20;
/// The same in rows.
const JOURNAL_ROWS: usize = 4096;
/// How long records stay in the journal while others come.
const JOURNAL_AGE: Duration = Duration::from_mins(5);
/// Between two tries while the disk is full.
const FULL_RETRY_MS: u64 = 500;

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
    /// Move everything into the database and close it.
    Close {
        /// The result.
        reply: oneshot::Sender<Result<()>>,
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

/// What is in the journal and not in the database.
#[derive(Default)]
pub(crate) struct Pending {
    /// In the order in which they were stored.
    pub(crate) rows: Vec<Row>,
    pub(crate) offsets: BTreeMap<OffsetKey, u64>,
    pub(crate) bytes: usize,
    pub(crate) since: Option<Instant>,
}

impl Pending {
    /// Adds rows that the journal has.
    pub(crate) fn add(&mut self, rows: Vec<Row>) {
        if !rows.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
        self.bytes += rows.iter().map(|row| row.blob.len()).sum::<usize>();
        self.rows.extend(rows);
    }

    /// Whether the journal takes these, too.
    fn has_room(&self, rows: &[Row]) -> bool {
        let bytes: usize = rows.iter().map(|row| row.blob.len()).sum();
        bytes < DIRECT_BYTES
            && self.bytes + bytes <= JOURNAL_BYTES
            && self.rows.len() + rows.len() <= JOURNAL_ROWS
            && self.since.is_none_or(|since| since.elapsed() < JOURNAL_AGE)
    }
}

/// State of the writing task.
pub(crate) struct Writer {
    /// For errors.
    pub(crate) files: Files,
    /// The only connection that writes.
    pub(crate) connection: SqliteConnection,
    pub(crate) journal: Journal,
    pub(crate) pending: Pending,
    /// Receives the durable batches.
    pub(crate) catalog: Arc<Catalog>,
    /// Wakes the readers.
    pub(crate) changed: Arc<watch::Sender<u64>>,
    /// True while records wait for space on the disk.
    pub(crate) is_full: watch::Sender<bool>,
    /// Cancelled when the log is to be closed: records no longer wait for space.
    pub(crate) closing: CancellationToken,
    /// When the last transaction ended.
    pub(crate) written_at: Instant,
    /// Held until the last write has ended.
    pub(crate) _lock: sqlite_file::Lock,
}

impl Writer {
    /// Runs until every handle of the log is dropped and all accepted operations are done, or until it is closed.
    pub(crate) async fn run(mut self, mut ops: mpsc::Receiver<Op>) {
        let mut closed = None;
        while closed.is_none()
            && let Some(first) = ops.recv().await
        {
            let together = self.gather(first, &mut ops).await;
            closed = self.work(together).await;
        }
        // Whoever waits now gets an error.
        drop(ops);
        let done = self.close().await;
        match closed {
            Some(reply) => {
                let _ = reply.send(done);
            }
            None => {
                if let Err(error) = done {
                    tracing::warn!("the event log was not closed in order: {error}");
                }
            }
        }
    }

    async fn gather(&self, first: Op, ops: &mut mpsc::Receiver<Op>) -> Vec<Op> {
        let due = (self.written_at + Duration::from_millis(GROUP_INTERVAL_MS))
            .max(Instant::now() + Duration::from_millis(GATHER_MS));
        let (mut bytes, mut has_records) = (first.bytes(), matches!(first, Op::Append(_)));
        let mut together = vec![first];
        while bytes < TRANSACTION_BYTES && together.len() < TRANSACTION_OPS {
            let op = match ops.try_recv() {
                Ok(op) => op,
                Err(_) if !has_records || bytes >= ENOUGH_BYTES || self.closing.is_cancelled() => break,
                Err(_) => match timeout_at(due, ops.recv()).await {
                    Ok(Some(op)) => op,
                    Ok(None) | Err(_) => break,
                },
            };
            bytes += op.bytes();
            has_records |= matches!(op, Op::Append(_));
            together.push(op);
        }
        together
    }

    /// Executes operations. Returns where the result of closing goes, if that is one of them.
    async fn work(&mut self, ops: Vec<Op>) -> Option<oneshot::Sender<Result<()>>> {
        let (mut appends, mut commits, mut close) = (Vec::new(), Vec::new(), None);
        for op in ops {
            match op {
                Op::Append(append) => appends.push(append),
                Op::Commit(commit) => commits.push(commit),
                Op::CreateTopics { specs, reply } => {
                    let done = tables::create_topics(&mut self.connection, &self.catalog, &specs).await;
                    let _ = reply.send(done.map_err(|error| self.files.failure(&error)));
                }
                Op::Expire { reply } => {
                    let _ = reply.send(self.expire().await);
                }
                Op::Close { reply } => close = Some(reply),
            }
        }
        if !appends.is_empty() || !commits.is_empty() {
            self.store(appends, commits).await;
        }
        close
    }

    /// Stores everything in one transaction, or nothing, and sends the result to all senders. Waits while the disk is full.
    async fn store(&mut self, mut appends: Vec<Append>, commits: Vec<Commit>) {
        let offsets = self.commit(&commits);
        let (rows, bases) = lay_out(&mut appends, Utc::now().timestamp_millis());
        let stored = loop {
            match self.write(&rows, &offsets).await {
                // An offset that is not in the file is written by a later transaction.
                Err(EventLogError::DiskFull { .. }) if rows.is_empty() => break Ok(false),
                Err(error @ EventLogError::DiskFull { .. }) => {
                    if !self.wait_for_space().await {
                        break Err(error);
                    }
                }
                done => break done,
            }
        };
        if self.is_full.send_replace(false) && stored.is_ok() {
            tracing::info!(file = self.files.shown(), "the event log has space and stores records again");
        }
        self.written_at = Instant::now();
        for Commit { permit, reply, .. } in commits {
            drop(permit);
            let _ = reply.send(stored.as_ref().map(drop).map_err(|error| self.files.repeated(error)));
        }
        match stored {
            Ok(is_in_file) => {
                for row in &rows {
                    row.partition.append(row.stored());
                    if is_in_file {
                        row.partition.is_in_file();
                    }
                }
                if !is_in_file {
                    self.pending.add(rows);
                }
                self.changed.send_modify(|count| *count = count.wrapping_add(1));
                for (append, bases) in appends.into_iter().zip(bases) {
                    append.acknowledge(&bases);
                }
            }
            Err(error) => {
                for append in appends {
                    let _ = append.reply.send(Err(self.files.repeated(&error)));
                }
            }
        }
    }

    /// Applies commits in memory. Returns what the file is to have.
    fn commit(&mut self, commits: &[Commit]) -> Vec<JournalOffset> {
        let mut offsets = Vec::new();
        for Commit { group, offsets: committed, .. } in commits {
            group.set_committed(committed);
            for (partition, next_offset) in committed {
                let key = (group.name.clone(), partition.topic_id, partition.id.partition);
                self.pending.offsets.insert(key, *next_offset);
                offsets.push(JournalOffset {
                    group: group.name.clone(),
                    topic: partition.topic_id,
                    partition: partition.id.partition,
                    next_offset: *next_offset,
                });
            }
        }
        offsets
    }

    /// One transaction, durable when this returns; offsets without records survive `kill -9` only, so that they cost no sync.
    /// Returns whether it is in the database.
    async fn write(&mut self, rows: &[Row], offsets: &[JournalOffset]) -> Result<bool> {
        self.files.check_present()?;
        if !self.pending.has_room(rows) {
            self.merge(rows).await?;
            return Ok(true);
        }
        let rows_first = rows.iter().map(Row::entry);
        let entries: Vec<Entry> = rows_first.chain(offsets.iter().cloned().map(Entry::Offset)).collect();
        let written = self.journal.append(&entries, !rows.is_empty()).await;
        written.map_err(|error| self.journal_failure(&error))?;
        Ok(false)
    }

    /// Moves the journal into the database, together with `rows`, in one transaction.
    async fn merge(&mut self, rows: &[Row]) -> Result<()> {
        let merged = tables::insert(&mut self.connection, &self.pending, rows).await;
        merged.map_err(|error| self.files.failure(&error))?;
        let Pending { rows, .. } = std::mem::take(&mut self.pending);
        for row in &rows {
            row.partition.is_in_file();
        }
        // What stays in the journal is recognised by its offsets.
        if let Err(error) = self.journal.clear() {
            tracing::warn!(file = self.files.shown(), %error, "the journal was not emptied");
        }
        Ok(())
    }

    fn journal_failure(&self, error: &io::Error) -> EventLogError {
        let path = self.files.shown();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => EventLogError::DiskFull { path },
            _ => EventLogError::Storage { path, reason: format!("its journal cannot be written: {error}") },
        }
    }

    /// Waits before the next try; deletes expired records meanwhile. Returns false if the log is closed instead.
    async fn wait_for_space(&mut self) -> bool {
        if !self.is_full.send_replace(true) {
            tracing::error!(
                file = self.files.shown(),
                "no space left on the disk of the event log: make room. Records wait for it; feeds that cannot wait drop ticks, \
                 which are counted"
            );
        }
        tokio::select! {
            () = self.closing.cancelled() => return false,
            () = tokio::time::sleep(Duration::from_millis(FULL_RETRY_MS)) => {}
        }
        if let Err(error) = self.expire().await {
            tracing::debug!("no space to delete expired records: {error}");
        }
        true
    }

    /// Deletes some expired batches of each partition, never the newest. Returns whether there may be more.
    async fn expire(&mut self) -> Result<bool> {
        let now_ms = Utc::now().timestamp_millis();
        let before_ms = |retention: Duration| {
            now_ms.saturating_sub(i64::try_from(retention.as_millis()).unwrap_or(i64::MAX))
        };
        let is_expired = |row: &Row| {
            let topic = self.catalog.topic(&row.partition.id.topic);
            topic.is_ok_and(|topic| row.stored_ms < before_ms(topic.retention))
        };
        if self.pending.rows.iter().any(is_expired) {
            self.merge(&[]).await?;
        }
        let mut more = false;
        for topic in self.catalog.all() {
            for partition in &topic.partitions {
                let expired =
                    tables::expire(&mut self.connection, partition, before_ms(topic.retention)).await;
                more |= expired.map_err(|error| self.files.failure(&error))?;
            }
        }
        Ok(more)
    }

    /// Moves everything into the database file itself, so that a copy of that file alone is whole.
    async fn close(mut self) -> Result<()> {
        self.files.close_readers().await;
        let merged = match self.files.check_present() {
            Ok(()) => self.merge(&[]).await,
            removed => removed,
        };
        let failed = |error: sqlx::Error| self.files.failure(&error);
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut self.connection)
            .await
            .map_err(failed)?;
        self.connection.close().await.map_err(failed)?;
        merged?;
        self.journal.remove();
        Ok(())
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
