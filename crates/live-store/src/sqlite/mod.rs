//! The embedded adapter: one SQLite file. The nouns implement their traits for [`SqliteStore`]; here is what they share.

mod buffer;
pub(crate) mod columns;
mod look;
mod query;
mod schema;
pub(crate) mod time_text;

pub(crate) use look::look;

use async_trait::async_trait;
use sqlite_file::{Durability, Failure, FileUrl, SqliteFile, SqliteFileError, Tuning, WriteTransaction};

use self::buffer::Buffer;
use crate::{CloseStore, LiveStoreError, Migration, Result};

/// Chosen with `examples/throughput`.
const TUNING: Tuning = Tuning {
    page_bytes: 4096,
    readers: 3,
    // Often enough that the log stays small, seldom enough that a page written by several batches goes over once.
    checkpoint_pages: 4000,
    // The ends of all symbols' ranges in both trees, and more.
    writer_cache_kb: 16 << 10,
    reader_cache_kb: 4 << 10,
    // The event log has everything that comes after a checkpoint in the file.
    durability: Durability::Process,
};

/// The store in one file.
pub(crate) struct SqliteStore {
    pub(crate) file: SqliteFile,
    /// `None` where other processes use the file, too.
    pub(crate) buffer: Option<Buffer>,
}

impl SqliteStore {
    /// Opens or creates the file, with its folder; returns what was created. `is_alone`: no other process writes it.
    pub(crate) async fn open(url: &FileUrl, is_alone: bool) -> Result<(Self, Migration)> {
        let (file, made) = SqliteFile::open(url, &TUNING, &schema::FORMAT, "live-store").await?;
        let done = made.into_iter().map(|format| format!("the format is now {format}")).collect();
        let place = url.path.display().to_string();
        let buffer = is_alone.then(Buffer::default);
        Ok((Self { file, buffer }, Migration { place, done, refused: Vec::new() }))
    }

    pub(crate) async fn begin(&self) -> Result<WriteTransaction<'_>> {
        Ok(self.file.begin().await?)
    }

    pub(crate) fn refused(&self, reason: impl Into<String>) -> LiveStoreError {
        LiveStoreError::Refused { place: self.file.path().display().to_string(), reason: reason.into() }
    }

    pub(crate) fn failure(&self, error: &sqlx::Error) -> LiveStoreError {
        self.file.failure(error).into()
    }
}

#[async_trait]
impl CloseStore for SqliteStore {
    async fn close(&self) -> Result<()> {
        self.flush().await?;
        Ok(self.file.close().await?)
    }
}

impl From<SqliteFileError> for LiveStoreError {
    fn from(SqliteFileError { path: place, failure }: SqliteFileError) -> Self {
        match failure {
            Failure::Full => Self::DiskFull { place },
            Failure::NewerFormat { found, known } => Self::NewerFormat { place, found, known },
            Failure::Busy(_) | Failure::Unavailable(_) => {
                Self::Unavailable { place, reason: failure.to_string() }
            }
            Failure::ReadOnly => Self::Refused {
                place,
                reason: format!("{failure}, or name another store (--data, --store, STORE_URL)"),
            },
            Failure::CannotOpen | Failure::NotADatabase | Failure::OtherProgram(_) => {
                Self::Refused { place, reason: format!("{failure}, or use another --data folder") }
            }
            Failure::Removed | Failure::NoFolder(_) | Failure::Corrupt(_) | Failure::Other(_) => {
                Self::Refused { place, reason: failure.to_string() }
            }
        }
    }
}
