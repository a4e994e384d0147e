//! Opening a file: folder, settings, connections.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions, SqlitePool,
    pool::PoolOptions,
    sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    Failure, FileUrl, Format, Presence, Result,
    wal::{MAX_WAL_BYTES, WalBound},
};

/// How long a statement waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a call waits for its turn at a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);

/// What differs between files by how they are used.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Size of a page, in bytes.
    pub page_bytes: u32,
    /// Connections that read at the same time; each is a thread.
    pub readers: u32,
    /// Pages are written back to the file each time the write-ahead log has grown by so many.
    pub checkpoint_pages: u32,
    /// Page cache of the writer, in KiB.
    pub writer_cache_kb: u32,
    /// Page cache of each reader, in KiB; behind it is that of the operating system.
    pub reader_cache_kb: u32,
    /// What a commit survives when it returns.
    pub durability: Durability,
}

/// What a commit survives when it returns. In both cases a power failure leaves the file whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process. A power failure may undo the last transactions, all from one moment on. For what can be
    /// written again from elsewhere: no commit waits for the disk, and it writes less.
    Process,
    /// A power failure, too.
    Power,
}

/// A file, open: one writing connection, a few that read.
#[derive(Debug)]
pub struct SqliteFile {
    pub(crate) path: PathBuf,
    /// One connection: SQLite has one writer at a time, and waiting in this queue is fair and costs nothing.
    pub(crate) writer: SqlitePool,
    readers: SqlitePool,
    pub(crate) wal: WalBound,
    pub(crate) presence: Presence,
}

impl SqliteFile {
    /// Opens or creates the file, with its folder, and brings it to the newest format. Also returns the formats that were
    /// made, oldest first. `threads` begins the names of the connections' threads.
    ///
    /// # Errors
    /// [`crate::SqliteFileError`].
    pub async fn open(
        url: &FileUrl,
        tuning: &Tuning,
        format: &Format,
        threads: &'static str,
    ) -> Result<(Self, Vec<usize>)> {
        let path = url.path.as_path();
        create_folder_of(path).await?;
        create_private(path);
        let options = || {
            base_options(path)
                .synchronous(match tuning.durability {
                    Durability::Process => SqliteSynchronous::Normal,
                    Durability::Power => SqliteSynchronous::Full,
                })
                // Statements that can fail half-way keep an undo copy of pages; in a file that costs more than all the rest.
                .pragma("temp_store", "MEMORY")
                .busy_timeout(BUSY_TIMEOUT)
                .thread_name(move |id| format!("{threads}-{id}"))
        };
        let writing = options()
            .create_if_missing(true)
            .page_size(tuning.page_bytes)
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("wal_autocheckpoint", tuning.checkpoint_pages.to_string())
            .pragma("journal_size_limit", MAX_WAL_BYTES.to_string())
            .pragma("cache_size", format!("-{}", tuning.writer_cache_kb));
        let writing = match url.max_bytes {
            Some(bytes) => {
                writing.pragma("max_page_count", (bytes / u64::from(tuning.page_bytes)).max(1).to_string())
            }
            None => writing,
        };
        let reading =
            options().pragma("query_only", "ON").pragma("cache_size", format!("-{}", tuning.reader_cache_kb));
        let writer = pool(1).connect_with(writing).await.map_err(|error| Failure::of(&error).at(path))?;
        let file = Self {
            path: path.to_owned(),
            writer,
            readers: pool(tuning.readers).connect_lazy_with(reading),
            wal: WalBound::new(path),
            presence: Presence::of(path),
        };
        // Also where the format is up to date: whether the file can be written shows now, not with the first write.
        let mut writing = file.begin().await?;
        let made = format.apply(path, writing.connection()).await?;
        writing.commit().await?;
        Ok((file, made))
    }

    /// Moves everything into the file itself, so that a copy of it alone is whole, and closes it. Later calls fail.
    ///
    /// # Errors
    /// [`crate::SqliteFileError`]; what was committed stays in the write-ahead log beside the file.
    pub async fn close(&self) -> Result<()> {
        // Readers hold the write-ahead log.
        self.readers.close().await;
        let moved = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&self.writer).await;
        self.writer.close().await;
        moved.map(drop).map_err(|error| self.failure(&error))
    }

    /// The file, as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The connections for reading.
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// An error of the engine on this file.
    pub fn failure(&self, error: &sqlx::Error) -> crate::SqliteFileError {
        Failure::of(error).at(&self.path)
    }
}

/// The settings that every connection needs: a commit survives a power failure when it returns.
pub fn base_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
}

/// Creates a file that only this user can read: stores have addresses, password hashes and mails. SQLite gives its other files the same
/// permissions. One that is there stays as it is, and what fails here fails at opening, with the reason.
fn create_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _ = options.open(path);
}

/// Creates the folder of a file, with those above it.
///
/// # Errors
/// [`Failure::NoFolder`].
pub async fn create_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    tokio::fs::create_dir_all(folder)
        .await
        .map_err(|error| Failure::NoFolder(format!("{}: {error}", folder.display())).at(path))
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
