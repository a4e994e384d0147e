//! Topic `candles`: a closed one-minute candle, built from ticks, as JSON. Key: the symbol. What providers quote is in
//! [`crate::quoted_candle`].

use chrono::{DateTime, Utc};
use market::{Candle, CandleFields, CandleSource, Interval, InvalidCandle, Symbol, parse_decimal};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use crate::tick::{begins_object, decimal_as_number};

/// The topic.
pub const TOPIC: &str = "candles";
/// Largest value accepted, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why a record is no candle.
#[derive(Debug, thiserror::Error)]
pub enum CandleDecodeError {
    /// Over [`MAX_BYTES`].
    #[error("the record has {0} bytes, at most {MAX_BYTES} are accepted")]
    TooLarge(usize),
    /// Not JSON, or a field is missing or of another type; the parser's reason names it.
    #[error("the record is no candle: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The values contradict the model.
    #[error(transparent)]
    Refused(#[from] InvalidCandle),
    /// In the topic of quoted candles only.
    #[error("source `{0}` is that of a candle built from ticks; candles here are quoted by a provider")]
    NotQuoted(CandleSource),
}

/// The record, fields in the order of the format.
#[derive(Serialize, Deserialize)]
struct Wire {
    symbol: Symbol,
    interval: Interval,
    time: DateTime<Utc>,
    #[serde(serialize_with = "decimal_as_number", deserialize_with = "decimal_from_number")]
    open: Decimal,
    #[serde(serialize_with = "decimal_as_number", deserialize_with = "decimal_from_number")]
    high: Decimal,
    #[serde(serialize_with = "decimal_as_number", deserialize_with = "decimal_from_number")]
    low: Decimal,
    #[serde(serialize_with = "decimal_as_number", deserialize_with = "decimal_from_number")]
    close: Decimal,
    /// `null` where it is unknown; the field is there always.
    #[serde(serialize_with = "optional_as_number", deserialize_with = "optional_from_number")]
    volume: Option<Decimal>,
    ticks: u64,
    source: CandleSource,
    #[serde(rename = "final")]
    is_final: bool,
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn optional_as_number<S: Serializer>(decimal: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
    match decimal {
        Some(decimal) => decimal_as_number(decimal, serializer),
        None => serializer.serialize_none(),
    }
}

fn decimal_from_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    number(<&RawValue>::deserialize(deserializer)?.get())
}

fn optional_from_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
    Option::<&RawValue>::deserialize(deserializer)?.map(|raw| number(raw.get())).transpose()
}

fn number<E: de::Error>(raw: &str) -> Result<Decimal, E> {
    parse_decimal(raw).map_err(|error| de::Error::custom(format!("{raw:.40} {error}")))
}

/// The record of a candle.
pub fn encode(candle: &Candle) -> Vec<u8> {
    let CandleFields { symbol, interval, time, open, high, low, close, volume, ticks, source, is_final } =
        **candle;
    let wire = Wire { symbol, interval, time, open, high, low, close, volume, ticks, source, is_final };
    // No map with odd keys, no failing writer: this cannot fail, and an empty record would be refused by every reader.
    serde_json::to_vec(&wire).unwrap_or_default()
}

fn malformed(reason: &str) -> CandleDecodeError {
    CandleDecodeError::Malformed(de::Error::custom(reason))
}

/// Reads a record.
///
/// # Errors
/// [`CandleDecodeError`]: the reason that goes with the record to the dead letters.
pub fn decode(payload: &[u8]) -> Result<Candle, CandleDecodeError> {
    if payload.len() > MAX_BYTES {
        return Err(CandleDecodeError::TooLarge(payload.len()));
    }
    let text = std::str::from_utf8(payload).map_err(|_| malformed("the record is not UTF-8"))?;
    if !begins_object(text) {
        // `serde` would accept an array of the values as well.
        return Err(malformed("it does not begin with `{`"));
    }
    let wire: Wire = serde_json::from_str(text)?;
    let Wire { symbol, interval, time, open, high, low, close, volume, ticks, source, is_final } = wire;
    let fields =
        CandleFields { symbol, interval, time, open, high, low, close, volume, ticks, source, is_final };
    Ok(Candle::new(fields)?)
}
