//! The nouns of the port.

use chrono::{DateTime, Utc};
use market::{Interval, Symbol, Tick};

/// The most ticks of one page, whatever its query asks for.
pub const MAX_PAGE_TICKS: usize = 10_000;
/// The most bars of one answer, whatever its query asks for.
pub const MAX_CANDLES: usize = 50_000;

/// A tick with where it came from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredTick {
    /// The tick.
    pub tick: Tick,
    /// When the consumer handled it.
    pub processed_at: DateTime<Utc>,
    /// The partition of its delivery.
    pub partition: i32,
    /// The offset of its delivery.
    pub offset: u64,
}

/// What became of one tick of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TickOutcome {
    /// Stored now.
    New,
    /// Was stored by an earlier try of this very delivery (same partition and offset), and is there with this
    /// `processed_at`: of a log that began anew it tells the deliveries of before.
    Redelivered(DateTime<Utc>),
    /// Its identity was stored from another delivery: the producer said it twice.
    Duplicate,
}

/// Which ticks, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct TickQuery {
    /// Of this symbol.
    pub symbol: Symbol,
    /// From this time of the tick, inclusive.
    pub from: DateTime<Utc>,
    /// To this time, exclusive.
    pub to: DateTime<Utc>,
    /// At most so many, from 1 to [`MAX_PAGE_TICKS`]; what is outside counts as the nearer end.
    pub limit: usize,
    /// Goes on behind an earlier page.
    pub cursor: Option<String>,
}

/// A page of ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct TickPage {
    /// Ordered by (timestamp, source, seq); of seqs from 2^63 on no order is promised.
    pub ticks: Vec<StoredTick>,
    /// For the next page; `None` at the end.
    pub next_cursor: Option<String>,
}

/// Which bars.
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

/// What a pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ticks.
    pub ticks: u64,
    /// One-minute bars.
    pub candles: u64,
}

/// What opening a store did to its tables or collections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migration {
    /// The store, without credentials.
    pub place: String,
    /// What was created or changed, in words; nothing where all was as it should be.
    pub done: Vec<String>,
    /// What the server would not do, with its reason. The store works without.
    pub refused: Vec<String>,
}
