//! Between ticks and documents of `realtime_prices`.

use market::{Symbol, Tick, TickFields, decimal_to_f64};
use mongodb::bson::{RawDocument, RawDocumentBuf, raw::cstr};

use crate::{
    StoredTick,
    mongo::fields::{
        RowError, append_time, decimal, id, number, optional_decimal, partition, text, time, unsigned,
    },
    ticks::Arrival,
};

/// Room for a tick's document, so that it is allocated once.
const TICK_BYTES: usize = 512;

/// The document of a tick. Integers that are unsigned in the model (seq, offset) are kept as the 64-bit pattern: up to
/// 9223372036854775807 the number itself, above it a negative one.
pub(super) fn encode(row: &StoredTick, id: &str) -> Result<RawDocumentBuf, RowError> {
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

/// A tick from its document. Other programs may have written into the collection: every value is checked.
pub(super) fn decode(document: &RawDocument) -> Result<StoredTick, RowError> {
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

/// The `_id` of a tick, and how it arrived.
pub(super) fn arrival(document: &RawDocument) -> Result<(String, Arrival), RowError> {
    let arrival = Arrival {
        partition: partition(document)?,
        offset: unsigned(document, "offset")?,
        processed_at: time(document, "processed_at", "processed_at_us")?,
    };
    Ok((id(document)?, arrival))
}

/// A document as it is written.
#[cfg(test)]
pub(super) fn sample() -> mongodb::bson::Document {
    let time = "2026-01-13T15:30:00.214007Z".parse().expect("a time");
    let one = rust_decimal::Decimal::ONE;
    let fields = TickFields {
        symbol: Symbol::parse("BTC/USDT").expect("a symbol"),
        timestamp: time,
        price: one,
        volume: one,
        open: one,
        high: one,
        low: one,
        size: Some(one),
        change_percent: 0.5,
        source: "binance".parse().expect("a source"),
        received_at: time,
        seq: 1,
    };
    let tick = Tick::new(fields).expect("a tick");
    let row = StoredTick { tick, processed_at: time, partition: 0, offset: 1 };
    mongodb::bson::Document::try_from(&encode(&row, &tick.id()).expect("a document")).expect("a document")
}
