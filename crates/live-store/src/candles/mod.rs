//! Candles: of every maker and width one each, replaced as they become more complete.

mod best;
pub(crate) mod mongo;
mod settle;
pub(crate) mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Candle, Interval, Symbol};

pub use self::{
    best::{MAX_BEST_CANDLES, best_candles},
    settle::settle_candles,
};
use crate::{PruneRange, Result};

/// The most candles of one result, whatever its query asks for.
pub const MAX_CANDLES: usize = 50_000;

/// Which candles.
#[derive(Clone, Debug, PartialEq)]
pub struct CandleQuery {
    /// Of this symbol.
    pub symbol: Symbol,
    /// Of this width, as stored; nothing is derived.
    pub interval: Interval,
    /// From this open time, inclusive.
    pub from: DateTime<Utc>,
    /// To this open time, exclusive.
    pub to: DateTime<Utc>,
    /// At most so many of the newest, from 1 to [`MAX_CANDLES`]; what is outside counts as the nearer end.
    pub limit: usize,
}

/// The store of candles.
///
/// # Contract
/// - A candle has the identity `source:symbol:interval:open time`; a batch that failed may be written again whole.
/// - When a write has returned, its candles are there after `kill -9`.
/// - Prices come back exactly as they went in (up to 15 significant digits).
#[async_trait]
pub trait CandleStore: Send + Sync {
    /// Stores candles, replacing those of the same identity; of several of one identity the last counts.
    async fn write_candles(&self, candles: &[Candle]) -> Result<()>;

    /// Candles as stored, of all sources, by (time, source); the newest `limit` of the range.
    async fn candles(&self, query: &CandleQuery) -> Result<Vec<Candle>>;

    /// Every symbol of which candles are stored, in order.
    async fn candle_symbols(&self) -> Result<Vec<Symbol>>;

    /// The open time of the oldest one-minute candle of a symbol from a time on.
    async fn oldest_minute(&self, symbol: Symbol, from: DateTime<Utc>) -> Result<Option<DateTime<Utc>>>;

    /// Removes the one-minute candles of a range, in bounded steps; none where one of them was first stored later than the range
    /// includes: a wide candle is put together of all of its minutes or of none. Wider candles stay. Returns how many.
    async fn prune_candles(&self, range: &PruneRange) -> Result<u64>;
}

/// How many candles a query asks for, within bounds.
fn limit(query: &CandleQuery) -> usize {
    query.limit.clamp(1, MAX_CANDLES)
}
