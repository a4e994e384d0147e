//! Between the nouns of the port and the documents of the collections.

use chrono::{DateTime, Utc};
use market::{Candle, CandleFields, Symbol, Tick, TickFields, decimal_from_f64, decimal_to_f64};
use mongodb::bson::{
    RawBsonRef, RawDocument, RawDocumentBuf,
    raw::{CStr, cstr},
};
use rust_decimal::Decimal;

use super::times::Moment;
use crate::{Checkpoint, StoredTick};

/// What is wrong with a document, or with what should become one.
pub(super) type RowError = Box<dyn std::error::Error + Send + Sync>;

/// Room for a tick's document, so that it is allocated once.
const TICK_BYTES: usize = 512;

/// The document of a tick. Integers that are unsigned in the model (seq, offset) are kept as the 64-bit pattern: up to
/// 9223372036854775807 the number itself, above it a negative one.
pub(super) fn encode_tick(row: &StoredTick, id: &str) -> Result<RawDocumentBuf, RowError> {
    let tick = &row.tick;
    let mut to = empty_document(TICK_BYTES)?;
    to.append(cstr!("_id"), id);
    to.append(cstr!("symbol"), tick.symbol.as_str());
    append_time(&mut to, cstr!("timestamp"), cstr!("timestamp_us"), tick.timestamp)?;
    to.append(cstr!("price"), decimal_to_f64(tick.price));
    to.append(cstr!("volume"), decimal_to_f64(tick.volume));
    to.append(cstr!("open"), decimal_to_f64(tick.open));
    to.append(cstr!("high"), decimal_to_f64(tick.high));
    to.append(cstr!("low"), decimal_to_f64(tick.low));
    to.append(cstr!("change_percent"), tick.change_percent);
    to.append(cstr!("source"), tick.source.as_str());
    append_time(&mut to, cstr!("received_at"), cstr!("received_at_us"), tick.received_at)?;
    to.append(cstr!("seq"), tick.seq.cast_signed());
    to.append(cstr!("price_change_pct"), tick.price_change_pct());
    append_time(&mut to, cstr!("processed_at"), cstr!("processed_at_us"), row.processed_at)?;
    to.append(cstr!("partition"), row.partition);
    to.append(cstr!("offset"), row.offset.cast_signed());
    if let Some(size) = tick.size {
        to.append(cstr!("size"), decimal_to_f64(size));
    }
    Ok(to)
}

/// A document without fields that has room for some.
fn empty_document(bytes: usize) -> Result<RawDocumentBuf, RowError> {
    let mut data = Vec::with_capacity(bytes);
    data.extend([5, 0, 0, 0, 0]);
    Ok(RawDocumentBuf::from_bytes(data)?)
}

/// The document of a bar, all but the time it was first stored.
pub(super) fn encode_candle(candle: &Candle) -> Result<RawDocumentBuf, RowError> {
    let mut to = RawDocumentBuf::new();
    to.append(cstr!("symbol"), candle.symbol.as_str());
    to.append(cstr!("interval"), candle.interval.as_str());
    append_time(&mut to, cstr!("time"), cstr!("time_us"), candle.time)?;
    to.append(cstr!("open"), decimal_to_f64(candle.open));
    to.append(cstr!("high"), decimal_to_f64(candle.high));
    to.append(cstr!("low"), decimal_to_f64(candle.low));
    to.append(cstr!("close"), decimal_to_f64(candle.close));
    // A null, not a missing field: it replaces a volume that was stored before.
    match candle.volume {
        Some(volume) => to.append(cstr!("volume"), decimal_to_f64(volume)),
        None => to.append(cstr!("volume"), RawBsonRef::Null),
    }
    to.append(cstr!("ticks"), candle.ticks.cast_signed());
    to.append(cstr!("source"), candle.source.to_string());
    to.append(cstr!("final"), candle.is_final);
    Ok(to)
}

/// `source:symbol:interval:open time in seconds`; of an open time between two seconds, which no interval of ours has,
/// with the microseconds behind it.
pub(super) fn candle_id(candle: &Candle) -> String {
    match candle.time.timestamp_subsec_micros() {
        0 => candle.id(),
        micros => format!("{}.{micros:06}", candle.id()),
    }
}

/// `processor:topic:partition`.
pub(super) fn checkpoint_id(checkpoint: &Checkpoint) -> String {
    format!("{}:{}:{}", checkpoint.processor, checkpoint.topic, checkpoint.partition)
}

/// Appends both fields of a time.
pub(super) fn append_time(
    to: &mut RawDocumentBuf,
    date: &CStr,
    micros: &CStr,
    time: DateTime<Utc>,
) -> Result<(), RowError> {
    let moment =
        Moment::new(time).ok_or_else(|| format!("the time {time} is outside the years 0 to 9999"))?;
    to.append(date, moment.date());
    to.append(micros, moment.micros());
    Ok(())
}

/// A tick from its document. What somebody else wrote into the collection is judged, not trusted.
pub(super) fn tick(document: &RawDocument) -> Result<StoredTick, RowError> {
    let fields = TickFields {
        symbol: text(document, "symbol", Symbol::parse)?,
        timestamp: time(document, "timestamp", "timestamp_us")?,
        price: decimal(document, "price")?,
        volume: decimal(document, "volume")?,
        open: decimal(document, "open")?,
        high: decimal(document, "high")?,
        low: decimal(document, "low")?,
        size: optional_decimal(document, "size")?,
        change_percent: number(document, "change_percent")?,
        source: text(document, "source", str::parse)?,
        received_at: time(document, "received_at", "received_at_us")?,
        seq: unsigned(document, "seq")?,
    };
    Ok(StoredTick {
        tick: Tick::new(fields)?,
        processed_at: time(document, "processed_at", "processed_at_us")?,
        partition: partition(document)?,
        offset: unsigned(document, "offset")?,
    })
}

/// A bar from its document.
pub(super) fn candle(document: &RawDocument) -> Result<Candle, RowError> {
    Ok(Candle::new(CandleFields {
        symbol: text(document, "symbol", Symbol::parse)?,
        interval: text(document, "interval", str::parse)?,
        time: time(document, "time", "time_us")?,
        open: decimal(document, "open")?,
        high: decimal(document, "high")?,
        low: decimal(document, "low")?,
        close: decimal(document, "close")?,
        volume: optional_decimal(document, "volume")?,
        ticks: unsigned(document, "ticks")?,
        source: text(document, "source", str::parse)?,
        is_final: match field(document, "final")? {
            RawBsonRef::Boolean(is_final) => is_final,
            other => return Err(unexpected("final", "a boolean", other)),
        },
    })?)
}

/// A checkpoint from its document.
pub(super) fn checkpoint(document: &RawDocument) -> Result<Checkpoint, RowError> {
    let owned = |text: &str| Ok::<_, RowError>(text.to_owned());
    Ok(Checkpoint {
        processor: text(document, "processor", owned)?,
        topic: text(document, "topic", owned)?,
        partition: partition(document)?,
        next_offset: unsigned(document, "next_offset")?,
        state: text(document, "state", owned)?,
    })
}

/// What stored a tick: partition, offset, and when it was processed.
pub(super) type Delivery = (i32, u64, DateTime<Utc>);

/// The `_id` of a tick, and the delivery that stored it.
pub(super) fn delivery(document: &RawDocument) -> Result<(String, Delivery), RowError> {
    let id = text(document, "_id", |id| Ok::<_, RowError>(id.to_owned()))?;
    let at = time(document, "processed_at", "processed_at_us")?;
    Ok((id, (partition(document)?, unsigned(document, "offset")?, at)))
}

/// The `_id`, a text.
pub(super) fn id(document: &RawDocument) -> Result<String, RowError> {
    text(document, "_id", |id| Ok::<_, RowError>(id.to_owned()))
}

fn field<'a>(document: &'a RawDocument, name: &str) -> Result<RawBsonRef<'a>, RowError> {
    document.get(name)?.ok_or_else(|| format!("{name} is missing").into())
}

fn text<T, E: std::fmt::Display>(
    document: &RawDocument,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, RowError> {
    match field(document, name)? {
        RawBsonRef::String(text) => parse(text).map_err(|error| format!("{name}: {error}").into()),
        other => Err(unexpected(name, "a text", other)),
    }
}

fn time(document: &RawDocument, date: &str, micros: &str) -> Result<DateTime<Utc>, RowError> {
    let RawBsonRef::DateTime(found) = field(document, date)? else {
        return Err(unexpected(date, "a date", field(document, date)?));
    };
    let micros = match document.get(micros)? {
        None => 0,
        Some(other) => integer(other).and_then(|micros| i32::try_from(micros).ok()).unwrap_or(-1),
    };
    Moment::read(found, micros).ok_or_else(|| {
        format!("{date}: {} ms and {micros} us are no time of the years 0 to 9999", found.timestamp_millis())
            .into()
    })
}

/// Prices and volumes are doubles; a shell that was given `100` wrote an integer.
fn number(document: &RawDocument, name: &str) -> Result<f64, RowError> {
    match field(document, name)? {
        RawBsonRef::Double(number) => Ok(number),
        other => {
            integer(other).map(|number| number as f64).ok_or_else(|| unexpected(name, "a number", other))
        }
    }
}

fn decimal(document: &RawDocument, name: &str) -> Result<Decimal, RowError> {
    let number = number(document, name)?;
    decimal_from_f64(number).ok_or_else(|| format!("{name}: {number} is no price or volume").into())
}

/// `None` where the field is null or missing.
fn optional_decimal(document: &RawDocument, name: &str) -> Result<Option<Decimal>, RowError> {
    match document.get(name)? {
        None | Some(RawBsonRef::Null) => Ok(None),
        Some(_) => decimal(document, name).map(Some),
    }
}

fn unsigned(document: &RawDocument, name: &str) -> Result<u64, RowError> {
    let found = field(document, name)?;
    integer(found).map(i64::cast_unsigned).ok_or_else(|| unexpected(name, "an integer", found))
}

fn partition(document: &RawDocument) -> Result<i32, RowError> {
    let found = field(document, "partition")?;
    integer(found)
        .and_then(|partition| i32::try_from(partition).ok())
        .ok_or_else(|| unexpected("partition", "a 32-bit integer", found))
}

fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(number) => Some(i64::from(number)),
        RawBsonRef::Int64(number) => Some(number),
        _ => None,
    }
}

fn unexpected(name: &str, expected: &str, found: RawBsonRef<'_>) -> RowError {
    format!("{name} is not {expected} but of type {:?}", found.element_type()).into()
}
