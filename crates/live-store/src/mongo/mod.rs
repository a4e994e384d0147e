//! The MongoDB adapter. It needs nothing of a server but atomic writes of one document and unique `_id`s: no
//! transactions, no sessions, no validators. Every write is repeatable, because identities are made here.

pub(crate) mod command;
pub(crate) mod connect;
pub(crate) mod failure;
pub(crate) mod look;
pub(crate) mod progress;
pub(crate) mod prune;
pub(crate) mod read;
pub(crate) mod rows;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod schema;
pub(crate) mod times;
pub(crate) mod write_ticks;

pub(crate) use look::look;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Candle, Symbol};
use mongodb::{Database, bson::RawDocumentBuf};

use crate::{
    CandleQuery, LiveStore, LiveStoreError, Pruned, Result, StoredTick, TickOutcome, TickPage, TickQuery,
};

/// The collections.
const REALTIME_PRICES: &str = "realtime_prices";
const CANDLES: &str = "candles";
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// The store in one database.
pub(crate) struct MongoStore {
    database: Database,
    /// How messages name this store: the URL without credentials and settings.
    pub(crate) place: String,
    /// What a write waits for.
    pub(crate) write_concern: RawDocumentBuf,
    /// How long one command may take, from choosing a server to the whole answer.
    command_timeout: Duration,
}

impl MongoStore {
    pub(crate) fn refused(&self, reason: impl Into<String>) -> LiveStoreError {
        LiveStoreError::Refused { place: self.place.clone(), reason: reason.into() }
    }

    pub(crate) fn unavailable(&self, reason: impl Into<String>) -> LiveStoreError {
        LiveStoreError::Unavailable { place: self.place.clone(), reason: reason.into() }
    }
}

#[async_trait]
impl LiveStore for MongoStore {
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
