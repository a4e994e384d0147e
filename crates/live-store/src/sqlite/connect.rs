//! Opening the file: folders, settings, connections.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use sqlx::{
    ConnectOptions,
    pool::PoolOptions,
    sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{SqliteStore, failure, schema};
use crate::{LiveStoreError, Migration, Result};

/// Connections that read at the same time; each is a thread.
const READERS: u32 = 3;
/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call waits for its turn at a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
const PAGE_BYTES: u32 = 4096;
/// Pages are written back to the file each time the log has grown by so many: often enough that it stays small, seldom
/// enough that a page written by several batches goes over once.
const CHECKPOINT_PAGES: u32 = 4000;
/// Page cache of the writer: the ends of all symbols' ranges in both trees, and more.
const WRITER_CACHE_KB: u32 = 16 << 10;
/// Page cache of each reader; behind it stands that of the operating system.
const READER_CACHE_KB: u32 = 4 << 10;
/// Readers that overlap for long keep the log from starting over. Beyond this size the writer waits for them.
const MAX_WAL_BYTES: u64 = 64 << 20;

impl SqliteStore {
    /// Opens or creates the file, with its folders; tells what was created.
    pub(crate) async fn open(path: &Path, max_bytes: Option<u64>) -> Result<(Self, Migration)> {
        create_folder_of(path).await?;
        let writing = options(path)
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            .pragma("journal_size_limit", MAX_WAL_BYTES.to_string())
            .pragma("cache_size", format!("-{WRITER_CACHE_KB}"));
        let writing = match max_bytes {
            Some(bytes) => writing.pragma("max_page_count", (bytes / u64::from(PAGE_BYTES)).to_string()),
            None => writing,
        };
        let reading =
            options(path).pragma("query_only", "ON").pragma("cache_size", format!("-{READER_CACHE_KB}"));
        let store = Self {
            path: path.to_owned(),
            writer: pool(1).connect_with(writing).await.map_err(|error| failure::translate(path, &error))?,
            readers: pool(READERS).connect_lazy_with(reading),
            wal: WalBound::new(path),
        };
        let migration = schema::prepare(&store).await?;
        Ok((store, migration))
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        // Statements that can fail half-way keep an undo copy of pages; in a file that costs more than all the rest.
        .pragma("temp_store", "MEMORY")
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
        .thread_name(|id| format!("live-store-{id}"))
}

/// Connections stay: each keeps its prepared statements and its cache.
fn pool(connections: u32) -> PoolOptions<Sqlite> {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

async fn create_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    tokio::fs::create_dir_all(folder).await.map_err(|error| LiveStoreError::Refused {
        place: path.display().to_string(),
        reason: format!("cannot create the folder {}: {error}", folder.display()),
    })
}

/// Keeps the write-ahead log bounded where passive checkpoints cannot.
pub(crate) struct WalBound {
    file: PathBuf,
    /// The size at which the next attempt is made: one that failed is not repeated with every batch.
    next_attempt_bytes: AtomicU64,
}

impl WalBound {
    fn new(path: &Path) -> Self {
        let mut file = path.as_os_str().to_owned();
        file.push("-wal");
        Self { file: file.into(), next_attempt_bytes: AtomicU64::new(MAX_WAL_BYTES) }
    }
}

impl SqliteStore {
    /// Called after commits. Waits at most [`BUSY_TIMEOUT`] for readers, and only once in [`MAX_WAL_BYTES`].
    pub(crate) async fn bound_wal(&self) {
        let Ok(size) = tokio::fs::metadata(&self.wal.file).await.map(|file| file.len()) else {
            return;
        };
        if size < self.wal.next_attempt_bytes.load(Ordering::Relaxed) {
            return;
        }
        let done = sqlx::query_as::<_, (i64, i64, i64)>("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&self.writer)
            .await
            .is_ok_and(|(busy, _, _)| busy == 0);
        let next = if done { MAX_WAL_BYTES } else { size + MAX_WAL_BYTES };
        self.wal.next_attempt_bytes.store(next, Ordering::Relaxed);
        if !done {
            tracing::warn!(file = %self.wal.file.display(), bytes = size, "the write-ahead log grows: a reader holds it");
        }
    }
}
