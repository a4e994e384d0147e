//! The file: lock, format, statements and errors.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use sqlite_file::{
    Failure, FileUrl, Format, Lock, LockError, Presence, SqliteFileError, base_options, create_folder_of,
};
use sqlx::{
    Connection, Row, SqliteConnection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions},
};

use super::{
    catalog::{Catalog, Partition, StoredBatch, Topic},
    journal::{Entry, JournalOffset},
    rows,
};
use crate::{EventLogError, Result, TopicPartition, batch};

const FORMAT: Format = Format {
    // `TDEL`
    application_id: 0x5444_454c,
    unmarked_table: Some("group_offsets"),
    name: "event log",
    steps: &[SCHEMA, JOURNAL],
};
/// Page size of the database, in bytes; larger than the default because most rows are large.
const PAGE_BYTES: u32 = 8192;
/// Pages of the write-ahead log after which SQLite moves them into the database.
const CHECKPOINT_PAGES: u32 = 2000;
/// Number of connections for reading.
const MAX_READERS: u32 = 4;
/// How long to wait for another connection of this process.
const BUSY_TIMEOUT_MS: u64 = 10_000;
/// Batches that a reader reads at once.
const BATCHES_PER_READ: u32 = 8;

const SCHEMA: &str = "
CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL,
    retention_ms INTEGER NOT NULL
) STRICT;
-- One row has many records of one partition: `records` of them from `base_offset`, in `blob`.
CREATE TABLE batches (
    topic INTEGER NOT NULL REFERENCES topics (id),
    partition INTEGER NOT NULL,
    base_offset INTEGER NOT NULL,
    records INTEGER NOT NULL,
    max_timestamp_ms INTEGER NOT NULL,
    stored_ms INTEGER NOT NULL,
    blob BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX batches_by_offset ON batches (topic, partition, base_offset);
CREATE TABLE group_offsets (
    group_name TEXT NOT NULL,
    topic INTEGER NOT NULL REFERENCES topics (id),
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) STRICT, WITHOUT ROWID;
";

/// Format 2 has the same tables. Its blobs may be compressed, and a journal beside the file may have the newest records: an
/// older version would not find them.
const JOURNAL: &str = "SELECT 2";

/// Separate from the schema, so that older files get an identity; older versions ignore the table.
const IDENTITY: &str = "
CREATE TABLE IF NOT EXISTS log_identity (id TEXT NOT NULL) STRICT;
INSERT INTO log_identity SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT 1 FROM log_identity);
";

/// Connections for reading the file, and its path for errors.
#[derive(Clone)]
pub(crate) struct Files {
    path: Arc<Path>,
    readers: SqlitePool,
    presence: Arc<Presence>,
}

/// Group, topic id and partition of a committed offset.
pub(crate) type OffsetKey = (String, i64, i32);

/// Locks and opens the file, and creates it if it is missing. The connection is for the writer.
pub(crate) async fn open(url: &FileUrl) -> Result<(Files, SqliteConnection, Lock)> {
    let path: Arc<Path> = Arc::from(url.path.as_path());
    create_folder_of(&path).await?;
    let lock = Lock::take(&path).await.map_err(|error| {
        let path = path.display().to_string();
        match error {
            LockError::Held => EventLogError::Locked { path },
            LockError::Io(error) => EventLogError::Storage { path, reason: error.to_string() },
        }
    })?;
    let options = base_options(&path).busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS));
    let mut connection = connect(&options, url).await.map_err(|error| failure(&path, &error))?;
    FORMAT.check(&path, &mut connection).await?;
    prepare(&path, &mut connection).await?;
    let readers = SqlitePoolOptions::new()
        .max_connections(MAX_READERS)
        .connect_lazy_with(options.pragma("query_only", "ON"));
    let presence = Arc::new(Presence::of(&path));
    Ok((Files { path, readers, presence }, connection, lock))
}

/// Opens the file read-only, without a lock. The connection is for topics and offsets.
pub(crate) async fn open_for_reading(url: &FileUrl) -> Result<(Files, SqliteConnection)> {
    let path: Arc<Path> = Arc::from(url.path.as_path());
    let options = base_options(&path).read_only(true).busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS));
    let mut connection =
        SqliteConnection::connect_with(&options).await.map_err(|error| failure(&path, &error))?;
    FORMAT.check(&path, &mut connection).await?;
    let readers = SqlitePoolOptions::new().max_connections(MAX_READERS).connect_lazy_with(options);
    let presence = Arc::new(Presence::of(&path));
    Ok((Files { path, readers, presence }, connection))
}

async fn connect(options: &SqliteConnectOptions, url: &FileUrl) -> Result<SqliteConnection, sqlx::Error> {
    // The format is checked before any change, so an existing file is not switched to WAL here.
    let mut options = options.clone().create_if_missing(true).page_size(PAGE_BYTES);
    if tokio::fs::metadata(&url.path).await.map_or(true, |file| file.len() == 0) {
        options = options.journal_mode(SqliteJournalMode::Wal);
    }
    options = options.pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string());
    if let Some(bytes) = url.max_bytes {
        options = options.pragma("max_page_count", (bytes / u64::from(PAGE_BYTES)).max(1).to_string());
    }
    SqliteConnection::connect_with(&options).await
}

/// Adds what the journal has and the file lacks. Returns the rows and offsets that were added.
pub(crate) fn replay(
    entries: Vec<Entry>,
    catalog: &Catalog,
    offsets: &mut HashMap<String, Offsets>,
) -> (Vec<rows::Row>, Vec<JournalOffset>) {
    let (mut added, mut committed) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Batch(batch) => {
                let Some(partition) = catalog.partition_by_id(batch.topic, batch.partition) else { continue };
                // What was moved into the file before the journal was emptied is there already.
                if batch.base_offset == partition.bounds().1 {
                    let row = rows::Row::from_journal(partition, batch);
                    row.partition.append(row.stored());
                    added.push(row);
                }
            }
            Entry::Offset(offset) => {
                let Some(partition) = catalog.partition_by_id(offset.topic, offset.partition) else {
                    continue;
                };
                let of_group = offsets.entry(offset.group.clone()).or_default();
                of_group.insert(partition.id.clone(), offset.next_offset);
                committed.push(offset);
            }
        }
    }
    (added, committed)
}

async fn prepare(path: &Path, connection: &mut SqliteConnection) -> Result<()> {
    let failed = |error: sqlx::Error| failure(path, &error);
    sqlx::query("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await.map_err(failed)?;
    let mut transaction = connection.begin().await.map_err(failed)?;
    FORMAT.apply(path, &mut transaction).await?;
    if !has_identity(&mut transaction).await.map_err(failed)? {
        sqlx::raw_sql(IDENTITY).execute(&mut *transaction).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

async fn has_identity(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'log_identity'",
    )
    .fetch_one(connection)
    .await?;
    Ok(tables > 0)
}

/// The identity of the log, drawn when it got the table.
pub(crate) async fn load_identity(files: &Files, connection: &mut SqliteConnection) -> Result<String> {
    let identity = sqlx::query_scalar("SELECT id FROM log_identity").fetch_one(connection).await;
    identity.map_err(|error| files.failure(&error))
}

/// The identity of the log, if it has one.
pub(crate) async fn find_identity(
    files: &Files,
    connection: &mut SqliteConnection,
) -> Result<Option<String>> {
    if !has_identity(connection).await.map_err(|error| files.failure(&error))? {
        return Ok(None);
    }
    load_identity(files, connection).await.map(Some)
}

/// Translates an error of SQLite.
fn failure(path: &Path, error: &sqlx::Error) -> EventLogError {
    Failure::of(error).at(path).into()
}

impl From<SqliteFileError> for EventLogError {
    fn from(SqliteFileError { path, failure }: SqliteFileError) -> Self {
        match failure {
            Failure::Full => Self::DiskFull { path },
            Failure::NewerFormat { found, known } => Self::NewerFormat { path, found, known },
            _ => Self::Storage { path, reason: failure.to_string() },
        }
    }
}

/// Every topic with the bounds of its partitions.
pub(crate) async fn load_topics(files: &Files, connection: &mut SqliteConnection) -> Result<Catalog> {
    let catalog = Catalog::default();
    let load = async {
        let rows = sqlx::query("SELECT id, name, partitions, retention_ms FROM topics")
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            let (id, name, partitions): (i64, String, i32) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let mut bounds = Vec::new();
            for partition in 0..partitions {
                bounds.push(bounds_of(connection, id, partition).await?);
            }
            let retention = Duration::from_millis(row.try_get::<i64, _>(3)?.unsigned_abs());
            catalog.insert(Topic::new(id, &name, retention, bounds));
        }
        Ok(())
    };
    load.await.map_err(|error| files.failure(&error))?;
    Ok(catalog)
}

async fn bounds_of(
    connection: &mut SqliteConnection,
    topic: i64,
    partition: i32,
) -> Result<(u64, u64), sqlx::Error> {
    const FIRST: &str = "SELECT base_offset FROM batches WHERE topic = ?1 AND partition = ?2
        ORDER BY base_offset LIMIT 1";
    const LAST: &str = "SELECT base_offset + records FROM batches WHERE topic = ?1 AND partition = ?2
        ORDER BY base_offset DESC LIMIT 1";
    let first = sqlx::query_scalar::<_, i64>(FIRST)
        .bind(topic)
        .bind(partition)
        .fetch_optional(&mut *connection)
        .await?;
    let last = sqlx::query_scalar::<_, i64>(LAST)
        .bind(topic)
        .bind(partition)
        .fetch_optional(&mut *connection)
        .await?;
    Ok((first.unwrap_or(0).unsigned_abs(), last.unwrap_or(0).unsigned_abs()))
}

/// Offset after the last committed record of each partition.
pub(crate) type Offsets = HashMap<TopicPartition, u64>;

/// The committed offsets of every group.
pub(crate) async fn load_offsets(
    files: &Files,
    connection: &mut SqliteConnection,
    catalog: &Catalog,
) -> Result<HashMap<String, Offsets>> {
    const ALL: &str =
        "SELECT group_name, name, partition, next_offset FROM group_offsets JOIN topics ON id = topic";
    let rows = sqlx::query_as::<_, (String, String, i32, i64)>(ALL)
        .fetch_all(connection)
        .await
        .map_err(|error| files.failure(&error))?;
    let mut groups: HashMap<String, Offsets> = HashMap::new();
    for (group, topic, partition, next) in rows {
        let topic_partition = TopicPartition { topic: Arc::clone(&catalog.topic(&topic)?.name), partition };
        groups.entry(group).or_default().insert(topic_partition, next.unsigned_abs());
    }
    Ok(groups)
}

impl Files {
    /// Translates an error of SQLite.
    pub(crate) fn failure(&self, error: &sqlx::Error) -> EventLogError {
        failure(&self.path, error)
    }

    /// The same failure for another receiver.
    pub(crate) fn repeated(&self, error: &EventLogError) -> EventLogError {
        let path = self.shown();
        match error {
            EventLogError::DiskFull { .. } => EventLogError::DiskFull { path },
            EventLogError::Storage { reason, .. } => EventLogError::Storage { path, reason: reason.clone() },
            other => EventLogError::Storage { path, reason: other.to_string() },
        }
    }

    /// Fails if the file was removed or replaced since it was opened: what is written is lost with the process then.
    pub(crate) fn check_present(&self) -> Result<()> {
        self.presence.check(&self.path).map_err(EventLogError::from)
    }

    /// Closes the connections for reading.
    pub(crate) async fn close_readers(&self) {
        self.readers.close().await;
    }

    /// The file, for what lies beside it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the file, for messages.
    pub(crate) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// The error of a stored batch that cannot be decoded.
    pub(crate) fn damage(
        &self,
        at: &TopicPartition,
        offset: u64,
        reason: &crate::batch::DecodeError,
    ) -> EventLogError {
        let reason = format!("{at} at offset {offset}: {reason}; the file is damaged");
        EventLogError::Storage { path: self.path.display().to_string(), reason }
    }

    /// The batch with `offset` and a few after it.
    pub(crate) async fn batches_from(&self, partition: &Partition, offset: u64) -> Result<Vec<StoredBatch>> {
        const FROM: &str = "SELECT base_offset, records, blob FROM batches
            WHERE topic = ?1 AND partition = ?2 AND base_offset >= (
                SELECT coalesce(max(base_offset), 0) FROM batches
                WHERE topic = ?1 AND partition = ?2 AND base_offset <= ?3)
            ORDER BY base_offset LIMIT ?4";
        let rows = sqlx::query_as::<_, (i64, i64, Vec<u8>)>(FROM)
            .bind(partition.topic_id)
            .bind(partition.id.partition)
            .bind(offset as i64)
            .bind(BATCHES_PER_READ)
            .fetch_all(&self.readers)
            .await
            .map_err(|error| self.failure(&error))?;
        let stored = |(base, count, blob): (i64, i64, Vec<u8>)| {
            let base_offset = base.unsigned_abs();
            let blob: Bytes =
                batch::expand(blob).map_err(|reason| self.damage(&partition.id, base_offset, &reason))?;
            Ok(StoredBatch { base_offset, count: count.unsigned_abs(), blob })
        };
        rows.into_iter().map(stored).collect()
    }
}
