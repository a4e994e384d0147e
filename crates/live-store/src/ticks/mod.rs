//! Ticks: stored once each under their identity, read by symbol in the order of time.

mod cursor;
mod day;
pub(crate) mod mongo;
pub(crate) mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Source, Symbol, Tick};

pub(crate) use self::cursor::Cursor;
pub use self::day::{all_ticks_of_day, ticks_of_day};
use crate::{PruneRange, Result};

/// The most ticks of one page, whatever its query asks for.
pub const MAX_PAGE_TICKS: usize = 10_000;

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
    /// `processed_at`, which separates the deliveries of a log that was replaced.
    Redelivered(DateTime<Utc>),
    /// Its identity was stored from another delivery: the producer sent it twice.
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
    /// Continues behind an earlier page.
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

/// The store of ticks.
///
/// # Contract
/// - A tick has the identity `source:symbol:seq`, and is stored once; a batch that failed may be written again whole.
/// - When a write has returned, its ticks are there after `kill -9`; in a store of one process ([`crate::open_alone`]) when
///   the next write of the checkpoint that stands for them is in the file.
/// - Prices come back exactly as they went in (up to 15 significant digits).
#[async_trait]
pub trait TickStore: Send + Sync {
    /// Stores ticks; those already there stay as they are. Returns one outcome for each, in order; a repeat within the
    /// batch is a [`TickOutcome::Duplicate`].
    async fn write_ticks(&self, ticks: &[StoredTick]) -> Result<Vec<TickOutcome>>;

    /// A page of ticks.
    async fn ticks(&self, query: &TickQuery) -> Result<TickPage>;

    /// The newest tick of every symbol, by symbol.
    async fn latest_ticks(&self) -> Result<Vec<StoredTick>>;

    /// Every symbol of which ticks are stored, in order.
    async fn tick_symbols(&self) -> Result<Vec<Symbol>>;

    /// Removes the ticks of a range, in bounded steps. Returns how many.
    async fn prune_ticks(&self, range: &PruneRange) -> Result<u64>;
}

/// What identifies a tick.
pub(crate) type Identity = (Source, Symbol, u64);

pub(crate) fn identity(tick: &Tick) -> Identity {
    (tick.source, tick.symbol, tick.seq)
}

/// The place of a tick in the order of pages.
fn order(tick: &Tick) -> (DateTime<Utc>, &str, u64) {
    (tick.timestamp, tick.source.as_str(), tick.seq)
}

/// How a stored tick arrived.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    partition: i32,
    offset: u64,
    processed_at: DateTime<Utc>,
}

impl Arrival {
    /// That of a tick.
    pub(crate) fn of(row: &StoredTick) -> Self {
        Self { partition: row.partition, offset: row.offset, processed_at: row.processed_at }
    }

    /// What becomes of a tick whose identity is stored with this arrival.
    pub(crate) fn outcome_for(&self, row: &StoredTick) -> TickOutcome {
        if (self.partition, self.offset) == (row.partition, row.offset) {
            TickOutcome::Redelivered(self.processed_at)
        } else {
            TickOutcome::Duplicate
        }
    }
}

/// A [`TickQuery`] for an adapter.
struct PageRequest {
    /// Where the page before ended; `None` for the first page of the range.
    after: Option<Cursor>,
    wanted: usize,
}

impl PageRequest {
    fn of(query: &TickQuery) -> Result<Self> {
        let cursor = query.cursor.as_deref().map(Cursor::decode).transpose()?;
        Ok(Self {
            // A cursor from before the range starts at the range.
            after: cursor.filter(|cursor| cursor.timestamp >= query.from),
            wanted: query.limit.clamp(1, MAX_PAGE_TICKS),
        })
    }

    /// How many rows to read: one more than wanted shows whether there is a next page.
    fn rows(&self) -> usize {
        self.wanted + 1
    }

    /// Whether a tick of the symbol is in the range and behind the cursor.
    fn includes(&self, query: &TickQuery, row: &StoredTick) -> bool {
        let market::TickFields { symbol, timestamp, .. } = *row.tick;
        symbol == query.symbol
            && (query.from..query.to).contains(&timestamp)
            && self
                .after
                .as_ref()
                .is_none_or(|after| order(&row.tick) > (after.timestamp, after.source.as_str(), after.seq))
    }

    fn page(&self, mut ticks: Vec<StoredTick>) -> TickPage {
        let has_more = ticks.len() > self.wanted;
        ticks.truncate(self.wanted);
        let next_cursor = ticks.last().filter(|_| has_more).map(|last| Cursor::of(&last.tick).encode());
        TickPage { ticks, next_cursor }
    }
}
