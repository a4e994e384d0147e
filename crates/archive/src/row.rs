//! One row is one line of JSON, exact to the last digit.

use std::{fmt::Display, io::Write};

use chrono::{DateTime, SecondsFormat, Utc};
use live_store::{Checkpoint, StoredTick};
use market::{Candle, CandleFields, CandleSource, Interval, Source, Symbol, Tick, TickFields, parse_decimal};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

/// The number types of JSON libraries are doubles, and not every one reads them to the last digit.
fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    exact(<&RawValue>::deserialize(deserializer)?)
}

fn optional_decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    Option::<&RawValue>::deserialize(deserializer)?.map(exact).transpose()
}

fn exact<E: de::Error>(raw: &RawValue) -> Result<Decimal, E> {
    let raw = raw.get();
    parse_decimal(raw).map_err(|error| de::Error::custom(format!("{raw:.40} {error}")))
}

/// As [`decimal`].
fn double<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    raw.parse().map_err(|_| de::Error::custom(format!("{raw:.40} is not a number")))
}

/// Stores hold microseconds.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let time = DateTime::<Utc>::deserialize(deserializer)?;
    DateTime::from_timestamp_micros(time.timestamp_micros())
        .ok_or_else(|| de::Error::custom(format!("{time} is out of range")))
}

#[derive(Deserialize)]
struct TickRow {
    symbol: Symbol,
    #[serde(deserialize_with = "time")]
    timestamp: DateTime<Utc>,
    #[serde(deserialize_with = "decimal")]
    price: Decimal,
    #[serde(deserialize_with = "decimal")]
    volume: Decimal,
    #[serde(deserialize_with = "decimal")]
    open: Decimal,
    #[serde(deserialize_with = "decimal")]
    high: Decimal,
    #[serde(deserialize_with = "decimal")]
    low: Decimal,
    #[serde(deserialize_with = "double")]
    change_percent: f64,
    source: Source,
    #[serde(deserialize_with = "time")]
    received_at: DateTime<Utc>,
    seq: u64,
    #[serde(default, deserialize_with = "optional_decimal")]
    size: Option<Decimal>,
    #[serde(deserialize_with = "time")]
    processed_at: DateTime<Utc>,
    partition: i32,
    offset: u64,
}

#[derive(Deserialize)]
struct CandleRow {
    symbol: Symbol,
    interval: Interval,
    #[serde(deserialize_with = "time")]
    time: DateTime<Utc>,
    #[serde(deserialize_with = "decimal")]
    open: Decimal,
    #[serde(deserialize_with = "decimal")]
    high: Decimal,
    #[serde(deserialize_with = "decimal")]
    low: Decimal,
    #[serde(deserialize_with = "decimal")]
    close: Decimal,
    #[serde(deserialize_with = "optional_decimal")]
    volume: Option<Decimal>,
    ticks: u64,
    source: CandleSource,
    #[serde(rename = "final")]
    is_final: bool,
}

#[derive(Serialize, Deserialize)]
struct CheckpointRow {
    processor: String,
    topic: String,
    partition: i32,
    next_offset: u64,
    state: String,
}

fn written(time: DateTime<Utc>) -> impl Display {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Appends the line of a tick. `price_change_pct` follows from it and is left out.
pub(crate) fn write_tick(row: &StoredTick, text: &mut Vec<u8>) {
    let tick = &row.tick;
    // Symbols and sources hold no character that JSON escapes; writing to a Vec cannot fail.
    let _ = writeln!(
        text,
        r#"{{"symbol":"{}","timestamp":"{}","price":{},"volume":{},"open":{},"high":{},"low":{},"change_percent":{},"source":"{}","received_at":"{}","seq":{}{},"processed_at":"{}","partition":{},"offset":{}}}"#,
        tick.symbol,
        written(tick.timestamp),
        tick.price.normalize(),
        tick.volume.normalize(),
        tick.open.normalize(),
        tick.high.normalize(),
        tick.low.normalize(),
        tick.change_percent,
        tick.source,
        written(tick.received_at),
        tick.seq,
        tick.size.map(|size| format!(r#","size":{}"#, size.normalize())).unwrap_or_default(),
        written(row.processed_at),
        row.partition,
        row.offset,
    );
}

/// Appends the line of a bar.
pub(crate) fn write_candle(bar: &Candle, text: &mut Vec<u8>) {
    let _ = writeln!(
        text,
        r#"{{"symbol":"{}","interval":"{}","time":"{}","open":{},"high":{},"low":{},"close":{},"volume":{},"ticks":{},"source":"{}","final":{}}}"#,
        bar.symbol,
        bar.interval,
        written(bar.time),
        bar.open.normalize(),
        bar.high.normalize(),
        bar.low.normalize(),
        bar.close.normalize(),
        bar.volume.map_or_else(|| "null".to_owned(), |volume| volume.normalize().to_string()),
        bar.ticks,
        bar.source,
        bar.is_final,
    );
}

/// Appends the line of a checkpoint.
pub(crate) fn write_checkpoint(checkpoint: &Checkpoint, text: &mut Vec<u8>) -> serde_json::Result<()> {
    let Checkpoint { processor, topic, partition, next_offset, state } = checkpoint.clone();
    serde_json::to_writer(&mut *text, &CheckpointRow { processor, topic, partition, next_offset, state })?;
    text.push(b'\n');
    Ok(())
}

pub(crate) fn read_tick(line: &str) -> Result<StoredTick, String> {
    let row: TickRow = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let fields = TickFields {
        symbol: row.symbol,
        timestamp: row.timestamp,
        price: row.price,
        volume: row.volume,
        open: row.open,
        high: row.high,
        low: row.low,
        change_percent: row.change_percent,
        source: row.source,
        received_at: row.received_at,
        seq: row.seq,
        size: row.size,
    };
    let tick = Tick::new(fields).map_err(|error| error.to_string())?;
    Ok(StoredTick { tick, processed_at: row.processed_at, partition: row.partition, offset: row.offset })
}

pub(crate) fn read_candle(line: &str) -> Result<Candle, String> {
    let row: CandleRow = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let CandleRow { symbol, interval, time, open, high, low, close, volume, ticks, source, is_final } = row;
    let fields =
        CandleFields { symbol, interval, time, open, high, low, close, volume, ticks, source, is_final };
    Candle::new(fields).map_err(|error| error.to_string())
}

pub(crate) fn read_checkpoint(line: &str) -> Result<Checkpoint, String> {
    let row: CheckpointRow = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let CheckpointRow { processor, topic, partition, next_offset, state } = row;
    Ok(Checkpoint { processor, topic, partition, next_offset, state })
}
