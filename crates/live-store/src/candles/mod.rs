//! Candles: of every maker and width one each, replaced as they become more complete.

mod best;
pub(crate) mod mongo;
mod settle;
pub(crate) mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Candle, Interval, Symbol, day_bounds};

pub use self::{
    best::{MAX_BEST_CANDLES, best_candles},
    settle::settle_candles,
};
use crate::Result;

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

    /// Removes one-minute candles that both opened and were first stored before `before`, of each symbol whole trading days from
    /// the oldest on: a wide candle is put together of all of its minutes or of none. In bounded steps; wider candles stay.
    /// Returns how many.
    async fn prune_candles(&self, before: DateTime<Utc>) -> Result<u64>;
}

/// Minutes before the result are removed when pruning; `first_stored_later` is the oldest minute before `before` that was stored
/// after it.
fn prunable_until(
    symbol: Symbol,
    before: DateTime<Utc>,
    first_stored_later: Option<DateTime<Utc>>,
) -> DateTime<Utc> {
    day_bounds(symbol.asset_class(), first_stored_later.unwrap_or(before)).start
}

/// How many candles a query asks for, within bounds.
fn limit(query: &CandleQuery) -> usize {
    query.limit.clamp(1, MAX_CANDLES)
}
