//! The embedded adapter: one SQLite file, one writing connection, a few that read.

pub(crate) mod connect;
pub(crate) mod failure;
pub(crate) mod look;
pub(crate) mod progress;
pub(crate) mod prune;
pub(crate) mod read;
pub(crate) mod rows;
pub(crate) mod schema;
pub(crate) mod time_text;
pub(crate) mod transaction;
pub(crate) mod write_ticks;

pub(crate) use look::look;

use std::path::PathBuf;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Candle, Symbol};
use sqlx::SqlitePool;

use crate::{
    CandleQuery, LiveStore, LiveStoreError, Pruned, Result, StoredTick, TickOutcome, TickPage, TickQuery,
};

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
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    pub(crate) fn refused(&self, reason: impl Into<String>) -> LiveStoreError {
        LiveStoreError::Refused { place: self.place(), reason: reason.into() }
    }

    pub(crate) fn failure(&self, error: &sqlx::Error) -> LiveStoreError {
        failure::translate(&self.path, error)
    }
}

#[async_trait]
impl LiveStore for SqliteStore {
    async fn write_ticks(&self, ticks: &[StoredTick]) -> Result<Vec<TickOutcome>> {
        self.insert_ticks(ticks).await
    }

    async fn write_candles(&self, candles: &[Candle]) -> Result<()> {
        self.store_candles(candles).await
    }

    async fn symbols(&self) -> Result<Vec<Symbol>> {
        self.read_symbols().await
    }

    async fn ticks(&self, query: &TickQuery) -> Result<TickPage> {
        self.read_ticks(query).await
    }

    async fn latest_ticks(&self) -> Result<Vec<StoredTick>> {
        self.read_latest_ticks().await
    }

    async fn candles(&self, query: &CandleQuery) -> Result<Vec<Candle>> {
        self.read_candles(query).await
    }

    async fn prune(&self, before: DateTime<Utc>) -> Result<Pruned> {
        self.remove_older(before).await
    }
}
