//! Between ticks and rows of `realtime_prices`.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use market::{Source, Symbol, Tick, TickFields, decimal_to_f64};
use sqlx::{
    Arguments, Row,
    error::BoxDynError,
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::{
    StoredTick,
    sqlite::columns::{decimal, optional_decimal, read_time, text, time, unsigned},
    ticks::Arrival,
};

/// The columns of `realtime_prices`, in the order in which ticks are bound and read.
pub(super) const COLUMNS: &str = "symbol, timestamp, price, volume, open, high, low, change_percent, source, \
     received_at, seq, price_change_pct, processed_at, \"partition\", \"offset\", size";
pub(super) const COLUMN_COUNT: usize = 16;

/// Binds ticks. Texts that come again and again (symbols, sources, the time of processing) are allocated once.
#[derive(Default)]
pub(super) struct TickBinder {
    symbols: Vec<(Symbol, Arc<str>)>,
    sources: Vec<(Source, Arc<str>)>,
    processed_at: Option<(DateTime<Utc>, Arc<str>)>,
}

impl TickBinder {
    pub(super) fn bind(&mut self, row: &StoredTick, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
        let tick = &row.tick;
        to.add(self.symbol(tick.symbol))?;
        to.add(time(tick.timestamp)?)?;
        to.add(decimal_to_f64(tick.price))?;
        to.add(decimal_to_f64(tick.volume))?;
        to.add(decimal_to_f64(tick.open))?;
        to.add(decimal_to_f64(tick.high))?;
        to.add(decimal_to_f64(tick.low))?;
        to.add(tick.change_percent)?;
        to.add(self.source(tick.source))?;
        to.add(time(tick.received_at)?)?;
        to.add(tick.seq.cast_signed())?;
        to.add(tick.price_change_pct())?;
        to.add(self.processed_at(row.processed_at)?)?;
        to.add(row.partition)?;
        to.add(row.offset.cast_signed())?;
        to.add(tick.size.map(decimal_to_f64))
    }

    /// Binds what identifies the tick: source, symbol, seq.
    pub(super) fn bind_identity(&mut self, tick: &Tick, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
        to.add(self.source(tick.source))?;
        to.add(self.symbol(tick.symbol))?;
        to.add(tick.seq.cast_signed())
    }

    fn symbol(&mut self, symbol: Symbol) -> Arc<str> {
        remembered(&mut self.symbols, symbol, |symbol| symbol.as_str().into())
    }

    fn source(&mut self, source: Source) -> Arc<str> {
        remembered(&mut self.sources, source, |source| source.as_str().into())
    }

    fn processed_at(&mut self, at: DateTime<Utc>) -> Result<Arc<str>, BoxDynError> {
        match &self.processed_at {
            Some((known, text)) if *known == at => Ok(Arc::clone(text)),
            _ => {
                let text = time(at)?;
                self.processed_at = Some((at, Arc::clone(&text)));
                Ok(text)
            }
        }
    }
}

/// Few enough distinct texts that looking through them is faster than hashing.
const REMEMBERED: usize = 64;

fn remembered<K: Copy + PartialEq>(
    known: &mut Vec<(K, Arc<str>)>,
    key: K,
    text: impl Fn(&K) -> Arc<str>,
) -> Arc<str> {
    if let Some((_, text)) = known.iter().find(|(known, _)| *known == key) {
        return Arc::clone(text);
    }
    let text = text(&key);
    if known.len() < REMEMBERED {
        known.push((key, Arc::clone(&text)));
    }
    text
}

/// A tick from [`COLUMNS`]. Other programs may have written into the table: every value is checked.
pub(super) fn decode(row: &SqliteRow) -> Result<StoredTick, BoxDynError> {
    let fields = TickFields {
        symbol: text(row, "symbol", 0, Symbol::parse)?,
        timestamp: read_time(row, "timestamp", 1)?,
        price: decimal(row, "price", 2)?,
        volume: decimal(row, "volume", 3)?,
        open: decimal(row, "open", 4)?,
        high: decimal(row, "high", 5)?,
        low: decimal(row, "low", 6)?,
        size: optional_decimal(row, "size", 15)?,
        change_percent: row.try_get(7)?,
        source: text(row, "source", 8, Source::parse)?,
        received_at: read_time(row, "received_at", 9)?,
        seq: unsigned(row, 10)?,
    };
    Ok(StoredTick {
        tick: Tick::new(fields)?,
        processed_at: read_time(row, "processed_at", 12)?,
        partition: row.try_get(13)?,
        offset: unsigned(row, 14)?,
    })
}

/// The index of a tick in its chunk, and how the stored one arrived.
pub(super) fn arrival(row: &SqliteRow) -> Result<(i64, Arrival), BoxDynError> {
    let arrival = Arrival {
        partition: row.try_get(1)?,
        offset: unsigned(row, 2)?,
        processed_at: read_time(row, "processed_at", 3)?,
    };
    Ok((row.try_get(0)?, arrival))
}
