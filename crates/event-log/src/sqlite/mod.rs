//! The embedded log: durable and partitioned, for one process, in one SQLite file.
//!
//! - `store`: the file: lock, format, statements, errors.
//! - `writer`: the one task that writes; operations that wait together are stored in one transaction (group commit).
//! - `rows`: joins records of a partition; `tables`: the statements; `journal`: a file for small transactions.
//! - `catalog`: state in memory: topics, bounds, the recent batches of each partition.
//! - `groups`, `balance`: owners of partitions.
//! - `publisher`: publishing; `subscription`, `reader`, `delivery`: consuming.
//! - `read_only`: reading from another process.
//! - `retention`: deletes expired records.

mod balance;
mod catalog;
mod delivery;
mod groups;
mod journal;
mod publisher;
pub(crate) mod read_only;
mod reader;
mod retention;
mod rows;
mod store;
mod subscription;
mod tables;
mod writer;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use sqlite_file::FileUrl;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::{
    catalog::Catalog,
    groups::Groups,
    journal::Journal,
    publisher::SqlitePublisher,
    store::Files,
    subscription::SqliteSubscription,
    writer::{Op, Pending, Writer},
};
use crate::{
    EventLog, EventLogError, LogAdmin, LogDescription, Message, NewRecord, PROBE_TOPIC, PartitionLag,
    Publisher, Result, Retention, Subscription, TopicInfo, TopicPartition, TopicSpec, check::check_spec,
    error::without_credentials, model::PROBE_RETENTION,
};

/// Limit of operations that wait for the writer.
const MAX_WAITING_OPS: usize = 4096;

/// State of one open log, shared by its publishers and subscriptions.
struct Shared {
    files: Files,
    catalog: Arc<Catalog>,
    groups: Groups,
    ops: mpsc::Sender<Op>,
    identity: String,
    /// Incremented when there may be something new for a subscription: records, or partitions to take or to give up.
    changed: Arc<watch::Sender<u64>>,
    /// True while records wait for space on the disk.
    is_full: watch::Receiver<bool>,
    /// Ends the retention task, and the waiting for space.
    closing: CancellationToken,
    /// Does so when the log is dropped.
    _dropped: DropGuard,
}

impl Shared {
    /// Passes an operation to the writer and waits for its result.
    async fn request<T>(&self, op: impl FnOnce(oneshot::Sender<Result<T>>) -> Op) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.ops.send(op(reply)).await.map_err(|_| EventLogError::Closed)?;
        answer.await.map_err(|_| EventLogError::Closed)?
    }

    /// Wakes every subscription to check for events and records.
    fn wake(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// The open embedded log.
struct SqliteLog(Arc<Shared>);

/// Parses `rest`, the part of the URL after `sqlite:`.
fn file_url(rest: &str) -> Result<FileUrl> {
    let bad = |reason| EventLogError::BadUrl { url: without_credentials(&format!("sqlite:{rest}")), reason };
    FileUrl::parse(rest).map_err(bad)
}

/// Opens the log of `rest`, the part of the URL after `sqlite:`, and creates the file if it is missing.
pub(crate) async fn open(rest: &str) -> Result<Arc<dyn EventLog>> {
    let (files, mut connection, lock) = store::open(&file_url(rest)?).await?;
    let catalog = Arc::new(store::load_topics(&files, &mut connection).await?);
    let identity = store::load_identity(&files, &mut connection).await?;
    let mut offsets = store::load_offsets(&files, &mut connection, &catalog).await?;
    let (journal, entries) = Journal::open(files.path(), &identity).map_err(|error| {
        EventLogError::Storage { path: files.shown(), reason: format!("its journal: {error}") }
    })?;
    let (rows, committed) = store::replay(entries, &catalog, &mut offsets);
    let mut pending = Pending::default();
    pending.add(rows);
    pending.offsets.extend(
        committed
            .into_iter()
            .map(|offset| ((offset.group, offset.topic, offset.partition), offset.next_offset)),
    );
    let groups = Groups::new(offsets);
    let (ops, waiting) = mpsc::channel(MAX_WAITING_OPS);
    let changed = Arc::new(watch::Sender::new(0));
    let (full, is_full) = watch::channel(false);
    let closing = CancellationToken::new();
    let writer = Writer {
        files: files.clone(),
        connection,
        journal,
        pending,
        catalog: Arc::clone(&catalog),
        changed: Arc::clone(&changed),
        is_full: full,
        closing: closing.clone(),
        written_at: Instant::now(),
        _lock: lock,
    };
    tokio::spawn(writer.run(waiting));
    retention::expire_all(&ops, &files).await?;
    tokio::spawn(retention::run(ops.downgrade(), files.clone(), Arc::clone(&catalog), closing.clone()));
    let shared = Shared {
        files,
        catalog,
        groups,
        ops,
        identity,
        changed,
        is_full,
        _dropped: closing.clone().drop_guard(),
        closing,
    };
    Ok(Arc::new(SqliteLog(Arc::new(shared))))
}

#[async_trait]
impl LogAdmin for SqliteLog {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<()> {
        specs.iter().try_for_each(check_spec)?;
        let specs = specs.to_vec();
        self.0.request(|reply| Op::CreateTopics { specs, reply }).await
    }

    /// Fails while the log cannot store records, so that what shows its state has the reason.
    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.0.files.check_present()?;
        if *self.0.is_full.borrow() {
            return Err(EventLogError::DiskFull { path: self.0.files.shown() });
        }
        Ok(self.0.catalog.infos())
    }

    async fn describe(&self) -> Result<LogDescription> {
        Ok(self.0.catalog.describe(self.0.files.shown()))
    }

    async fn probe(&self) -> Result<DateTime<Utc>> {
        let spec = TopicSpec {
            name: PROBE_TOPIC.to_owned(),
            partitions: 1,
            retention: Retention::For(PROBE_RETENTION),
        };
        self.ensure_topics(&[spec]).await?;
        let stored_at = Utc::now();
        let record =
            NewRecord { key: None, payload: Bytes::new(), headers: Vec::new(), timestamp: stored_at };
        self.publisher()?.send(PROBE_TOPIC, vec![record]).await?.durable().await?;
        // The log is in this process, so its clock is the same.
        Ok(stored_at)
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn identities(&self, topics: &[&str]) -> Result<BTreeMap<String, String>> {
        // One file, one identity.
        Ok(topics.iter().map(|topic| ((*topic).to_owned(), self.0.identity.clone())).collect())
    }

    async fn bounds(&self, topics: &[&str]) -> Result<BTreeMap<TopicPartition, Range<u64>>> {
        self.0.catalog.bounds(topics)
    }

    fn publisher(&self) -> Result<Arc<dyn Publisher>> {
        Ok(Arc::new(SqlitePublisher::new(Arc::clone(&self.0))))
    }

    async fn subscribe(&self, group: &str, topics: &[&str]) -> Result<Box<dyn Subscription>> {
        let partitions = self.0.catalog.partitions_of(topics)?;
        Ok(Box::new(SqliteSubscription::join(Arc::clone(&self.0), group, &partitions)))
    }

    async fn read(&self, partition: &TopicPartition, offset: u64, max: usize) -> Result<Vec<Message>> {
        reader::read_from(self.0.catalog.partition(partition)?, &self.0.files, offset, max).await
    }

    async fn lag(&self, group: &str, topics: &[&str]) -> Result<Vec<PartitionLag>> {
        let group = self.0.groups.find(group);
        let committed =
            |partition: &TopicPartition| group.as_ref().and_then(|group| group.committed(partition));
        let partitions = self.0.catalog.partitions_of(topics)?;
        Ok(partitions.iter().map(|partition| partition.lag(committed(&partition.id))).collect())
    }

    async fn close(&self) -> Result<()> {
        self.0.closing.cancel();
        self.0.request(|reply| Op::Close { reply }).await
    }
}
