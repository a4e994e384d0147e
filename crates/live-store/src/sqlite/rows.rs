//! Between the nouns of the port and the rows of the tables.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use market::{Candle, CandleFields, Source, Symbol, Tick, TickFields, decimal_from_f64, decimal_to_f64};
use rust_decimal::Decimal;
use sqlx::{
    Arguments, Row,
    error::BoxDynError,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::time_text::{self, TimeText};
use crate::StoredTick;

/// The columns of `realtime_prices`, in the order in which ticks are bound and read.
pub(super) const TICK_COLUMNS: &str = "symbol, timestamp, price, volume, open, high, low, change_percent, source, \
     received_at, seq, price_change_pct, processed_at, \"partition\", \"offset\", size";
pub(super) const TICK_COLUMN_COUNT: usize = 16;

/// The columns of `candles`, likewise.
pub(super) const CANDLE_COLUMNS: &str =
    "symbol, interval, time, open, high, low, close, volume, ticks, source, final";
pub(super) const CANDLE_COLUMN_COUNT: usize = 11;

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

pub(super) fn bind_candle(candle: &Candle, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    to.add(candle.symbol.as_str())?;
    to.add(candle.interval.as_str())?;
    to.add(time(candle.time)?)?;
    to.add(decimal_to_f64(candle.open))?;
    to.add(decimal_to_f64(candle.high))?;
    to.add(decimal_to_f64(candle.low))?;
    to.add(decimal_to_f64(candle.close))?;
    to.add(candle.volume.map(decimal_to_f64))?;
    to.add(candle.ticks.cast_signed())?;
    to.add(candle.source.to_string())?;
    to.add(candle.is_final)
}

fn time(time: DateTime<Utc>) -> Result<Arc<str>, BoxDynError> {
    match TimeText::new(time) {
        Some(text) => Ok(text.as_str().into()),
        None => Err(format!("the time {time} is outside the years 0 to 9999").into()),
    }
}

/// A tick from [`TICK_COLUMNS`]. What somebody else wrote into the table is judged, not trusted.
pub(super) fn tick(row: &SqliteRow) -> Result<StoredTick, BoxDynError> {
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

/// A bar from [`CANDLE_COLUMNS`].
pub(super) fn candle(row: &SqliteRow) -> Result<Candle, BoxDynError> {
    Ok(Candle::new(CandleFields {
        symbol: text(row, "symbol", 0, Symbol::parse)?,
        interval: text(row, "interval", 1, str::parse)?,
        time: read_time(row, "time", 2)?,
        open: decimal(row, "open", 3)?,
        high: decimal(row, "high", 4)?,
        low: decimal(row, "low", 5)?,
        close: decimal(row, "close", 6)?,
        volume: optional_decimal(row, "volume", 7)?,
        ticks: unsigned(row, 8)?,
        source: text(row, "source", 9, str::parse)?,
        is_final: row.try_get(10)?,
    })?)
}

/// A row that is nothing but a symbol.
pub(super) fn symbol(row: &SqliteRow) -> Result<Symbol, BoxDynError> {
    text(row, "symbol", 0, Symbol::parse)
}

pub(super) fn unsigned(row: &SqliteRow, at: usize) -> Result<u64, BoxDynError> {
    Ok(row.try_get::<i64, _>(at)?.cast_unsigned())
}

fn text<T, E: std::fmt::Display>(
    row: &SqliteRow,
    column: &str,
    at: usize,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, BoxDynError> {
    parse(row.try_get::<&str, _>(at)?).map_err(|error| format!("{column}: {error}").into())
}

/// What stored a tick: partition, offset, and when it was processed.
pub(super) type Delivery = (i32, u64, DateTime<Utc>);

/// A place, and the delivery that stored the tick there.
pub(super) fn delivery(row: &SqliteRow) -> Result<(i64, Delivery), BoxDynError> {
    let offset = row.try_get::<i64, _>(2)?.cast_unsigned();
    Ok((row.try_get(0)?, (row.try_get(1)?, offset, read_time(row, "processed_at", 3)?)))
}

fn read_time(row: &SqliteRow, column: &str, at: usize) -> Result<DateTime<Utc>, BoxDynError> {
    let text = row.try_get::<&str, _>(at)?;
    time_text::parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
        format!("{column}: `{shown}` is no time like 2026-01-13T15:30:00.214000Z").into()
    })
}

fn decimal(row: &SqliteRow, column: &str, at: usize) -> Result<Decimal, BoxDynError> {
    exact(column, row.try_get(at)?)
}

fn optional_decimal(row: &SqliteRow, column: &str, at: usize) -> Result<Option<Decimal>, BoxDynError> {
    row.try_get::<Option<f64>, _>(at)?.map(|number| exact(column, number)).transpose()
}

fn exact(column: &str, number: f64) -> Result<Decimal, BoxDynError> {
    decimal_from_f64(number).ok_or_else(|| format!("{column}: {number} is no price or volume").into())
}

/// `(?, ?, …)`, `rows` times.
pub(super) fn placeholders(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row; rows].join(",")
}
