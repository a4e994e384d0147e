//! The embedded adapter: one SQLite file, one writing connection, a few that read. The nouns implement their traits for
//! [`SqliteStore`]; here is what they share.

pub(crate) mod columns;
mod connect;
mod failure;
mod look;
mod query;
mod schema;
pub(crate) mod time_text;
pub(crate) mod transaction;

pub(crate) use failure::translate;
pub(crate) use look::look;

use std::path::PathBuf;

use sqlx::SqlitePool;

use crate::LiveStoreError;

/// The store in one file.
pub(crate) struct SqliteStore {
    /// The file, as given.
    pub(crate) path: PathBuf,
    /// One connection: SQLite has one writer at a time, and waiting in this queue is fair and costs nothing.
    writer: SqlitePool,
    readers: SqlitePool,
    wal: connect::WalBound,
}

impl SqliteStore {
    /// How messages name this store.
    pub(crate) fn place(&self) -> String {
        self.path.display().to_string()
    }

    pub(crate) fn refused(&self, reason: impl Into<String>) -> LiveStoreError {
        LiveStoreError::Refused { place: self.place(), reason: reason.into() }
    }

    pub(crate) fn failure(&self, error: &sqlx::Error) -> LiveStoreError {
        failure::translate(&self.path, error)
    }
}
