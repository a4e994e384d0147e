//! Topics `stock-prices` and `crypto-prices`: a tick as JSON. Key: the symbol, so one symbol stays in order.

use std::{fmt, io::Write};

use chrono::{DateTime, Datelike, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use market::{
    AssetClass, DecimalError, Source, Symbol, SymbolError, Tick, TickError, TickFields, decimal_to_f64,
    parse_decimal,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Ticks of stocks.
pub const STOCK_PRICES: &str = "stock-prices";
/// Ticks of crypto pairs.
pub const CRYPTO_PRICES: &str = "crypto-prices";
/// Largest value accepted, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;
/// The header of a record whose tick comes from a recording that is played; its value has no meaning.
pub const RECORDED_HEADER: &str = "recorded";
/// A tick may be so far ahead of our clock, in seconds.
pub const MAX_AHEAD_SECONDS: i64 = 300;

/// The topic of an asset class.
pub fn topic_for(class: AssetClass) -> &'static str {
    match class {
        AssetClass::Stock => STOCK_PRICES,
        AssetClass::Crypto => CRYPTO_PRICES,
    }
}

/// The fields, in the order of the format.
const FIELDS: [&str; 12] = [
    "symbol",
    "timestamp",
    "price",
    "volume",
    "open",
    "high",
    "low",
    "change_percent",
    "source",
    "received_at",
    "seq",
    "size",
];
/// Those of them that may have a fraction.
const NUMBERS: [&str; 7] = ["price", "volume", "open", "high", "low", "change_percent", "size"];

/// Why a record is no tick. Each names the field.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TickDecodeError {
    /// Over [`MAX_BYTES`].
    #[error("the record has {0} bytes, at most {MAX_BYTES} are accepted")]
    TooLarge(usize),
    /// Not UTF-8.
    #[error("the record is not UTF-8 (byte {0})")]
    NotUtf8(usize),
    /// Not a JSON object; with the parser's reason and place.
    #[error("the record is not a JSON object: {0}")]
    NotJson(String),
    /// A field is missing.
    #[error("{0} is missing")]
    MissingField(&'static str),
    /// A field is there twice: which value is meant is unknown.
    #[error("{0} is there twice")]
    DuplicateField(&'static str),
    /// A field has another JSON type.
    #[error("{field} must be a {expected}, not {found}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// NaN, infinite, or out of range.
    #[error("{0} is not a finite number")]
    NotFinite(&'static str),
    /// The symbol does not parse.
    #[error("symbol: {0}")]
    BadSymbol(#[from] SymbolError),
    /// The source is not a valid name.
    #[error("source: {0}")]
    BadSource(String),
    /// A text that is no time.
    #[error("{field}: `{value}` is no RFC 3339 time")]
    BadTime {
        /// The field.
        field: &'static str,
        /// The text, cut.
        value: String,
    },
    /// The tick's time is more than [`MAX_AHEAD_SECONDS`] ahead of our clock.
    #[error(
        "timestamp is {0} s ahead of our clock, at most {MAX_AHEAD_SECONDS} are accepted; is the clock of this host or of \
         the producer set right?"
    )]
    FromTheFuture(i64),
    /// `seq` is no whole number from 0 to 2^63 - 1, the largest that every store holds.
    #[error("seq must be a whole number from 0 to 9223372036854775807")]
    BadSeq,
    /// The values contradict the model.
    #[error(transparent)]
    Refused(#[from] TickError),
}

/// The record as it is on the wire, every value still raw.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default, deserialize_with = "even_null")]
    symbol: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    price: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    volume: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    open: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    high: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    low: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    change_percent: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    source: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    received_at: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    seq: Option<&'a RawValue>,
    /// The only optional field: here `null` means that it is absent.
    #[serde(borrow, default)]
    size: Option<&'a RawValue>,
}

/// A value that is there. By default `serde` does not distinguish `null` from a missing field.
fn even_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a record. Unknown fields are ignored.
///
/// # Errors
/// [`TickDecodeError`]: the reason that goes with the record to the dead letters.
pub fn decode(payload: &[u8], now: DateTime<Utc>) -> Result<Tick, TickDecodeError> {
    if payload.len() > MAX_BYTES {
        return Err(TickDecodeError::TooLarge(payload.len()));
    }
    let text = std::str::from_utf8(payload).map_err(|error| TickDecodeError::NotUtf8(error.valid_up_to()))?;
    if !begins_object(text) {
        // `serde` would accept an array of the values as well.
        return Err(TickDecodeError::NotJson("it does not begin with `{`".to_owned()));
    }
    let wire: Wire<'_> = serde_json::from_str(text).map_err(|error| unreadable(text, &error))?;
    let timestamp = time("timestamp", wire.timestamp)?;
    let ahead = timestamp - now;
    let tick = Tick::new(TickFields {
        symbol: Symbol::parse(&string("symbol", wire.symbol)?)?,
        timestamp,
        price: decimal("price", wire.price)?,
        volume: decimal("volume", wire.volume)?,
        open: decimal("open", wire.open)?,
        high: decimal("high", wire.high)?,
        low: decimal("low", wire.low)?,
        size: wire.size.map(|size| decimal("size", Some(size))).transpose()?,
        change_percent: float("change_percent", wire.change_percent)?,
        source: source(wire.source)?,
        received_at: time("received_at", wire.received_at)?,
        seq: seq(wire.seq)?,
    })?;
    if ahead > TimeDelta::seconds(MAX_AHEAD_SECONDS) {
        return Err(TickDecodeError::FromTheFuture(ahead.num_seconds()));
    }
    Ok(tick)
}

/// The first character, but for the white space of JSON, opens an object.
pub(crate) fn begins_object(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{')
}

/// Why `serde` could not read the record. Some encoders write bare `NaN` and `Infinity`, which is not JSON; their
/// reason names this and the field.
fn unreadable(text: &str, error: &serde_json::Error) -> TickDecodeError {
    let reason = error.to_string();
    if let Some(field) =
        FIELDS.into_iter().find(|field| reason.starts_with(&format!("duplicate field `{field}`")))
    {
        return TickDecodeError::DuplicateField(field);
    }
    for field in NUMBERS {
        let value = text
            .split_once(&format!("\"{field}\""))
            .and_then(|(_, rest)| rest.trim_start().strip_prefix(':'));
        let value = value.map_or("", str::trim_start).trim_start_matches(['-', '+']);
        // `inf` covers `Infinity`.
        if value
            .get(..3)
            .is_some_and(|word| word.eq_ignore_ascii_case("nan") || word.eq_ignore_ascii_case("inf"))
        {
            return TickDecodeError::NotFinite(field);
        }
    }
    TickDecodeError::NotJson(reason)
}

fn present<'a>(field: &'static str, raw: Option<&'a RawValue>) -> Result<&'a str, TickDecodeError> {
    raw.map(RawValue::get).ok_or(TickDecodeError::MissingField(field))
}

/// What a raw JSON value is, by its first byte.
fn kind(raw: &str) -> &'static str {
    match raw.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn number<'a>(field: &'static str, raw: Option<&'a RawValue>) -> Result<&'a str, TickDecodeError> {
    let raw = present(field, raw)?;
    match kind(raw) {
        "a number" => Ok(raw),
        found => Err(TickDecodeError::WrongType { field, expected: "number", found }),
    }
}

fn decimal(field: &'static str, raw: Option<&RawValue>) -> Result<Decimal, TickDecodeError> {
    parse_decimal(number(field, raw)?).map_err(|error| match error {
        DecimalError::NotFinite => TickDecodeError::NotFinite(field),
        DecimalError::NotANumber => {
            TickDecodeError::WrongType { field, expected: "number", found: "something else" }
        }
    })
}

fn float(field: &'static str, raw: Option<&RawValue>) -> Result<f64, TickDecodeError> {
    let parsed: f64 = number(field, raw)?.parse().map_err(|_| TickDecodeError::NotFinite(field))?;
    if parsed.is_finite() { Ok(parsed) } else { Err(TickDecodeError::NotFinite(field)) }
}

fn seq(raw: Option<&RawValue>) -> Result<u64, TickDecodeError> {
    let parsed: u64 = number("seq", raw)?.parse().map_err(|_| TickDecodeError::BadSeq)?;
    if i64::try_from(parsed).is_ok() { Ok(parsed) } else { Err(TickDecodeError::BadSeq) }
}

/// A string without its quotes; borrowed unless it holds escapes.
fn string<'a>(
    field: &'static str,
    raw: Option<&'a RawValue>,
) -> Result<std::borrow::Cow<'a, str>, TickDecodeError> {
    let raw = present(field, raw)?;
    let wrong = |found| TickDecodeError::WrongType { field, expected: "string", found };
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Ok(plain.into()),
        Some(_) => serde_json::from_str::<String>(raw).map(Into::into).map_err(|_| wrong("a broken string")),
        None => Err(wrong(kind(raw))),
    }
}

fn source(raw: Option<&RawValue>) -> Result<Source, TickDecodeError> {
    Source::parse(&string("source", raw)?).map_err(|error| TickDecodeError::BadSource(error.to_string()))
}

/// RFC 3339; without a zone it is UTC. Microseconds are kept.
fn time(field: &'static str, raw: Option<&RawValue>) -> Result<DateTime<Utc>, TickDecodeError> {
    let text = string(field, raw)?;
    let zoned = DateTime::parse_from_rfc3339(&text).map(|time| time.to_utc());
    let parsed =
        zoned.or_else(|_| text.replacen(' ', "T", 1).parse::<NaiveDateTime>().map(|time| time.and_utc()));
    let bad = || TickDecodeError::BadTime {
        field,
        value: text.chars().take(40).flat_map(char::escape_debug).collect(),
    };
    let parsed = parsed.map_err(|_| bad())?;
    // RFC 3339 has the years 0 to 9999; the other notation would accept any.
    let is_known = (0..=9999).contains(&parsed.year());
    DateTime::from_timestamp_micros(parsed.timestamp_micros()).filter(|_| is_known).ok_or_else(bad)
}

/// The record of a tick, fields in the order of the format; appended to `buffer`.
pub fn encode(tick: &Tick, buffer: &mut Vec<u8>) {
    let change = Number(tick.change_percent);
    // Symbols and sources hold no character that JSON escapes; writing to a Vec cannot fail.
    let _ = write!(
        buffer,
        r#"{{"symbol":"{}","timestamp":"{}","price":{},"volume":{},"open":{},"high":{},"low":{},"change_percent":{change},"source":"{}","received_at":"{}","seq":{}"#,
        tick.symbol,
        Time(tick.timestamp),
        tick.price,
        tick.volume,
        tick.open,
        tick.high,
        tick.low,
        tick.source,
        Time(tick.received_at),
        tick.seq,
    );
    if let Some(size) = tick.size {
        let _ = write!(buffer, r#","size":{size}"#);
    }
    buffer.push(b'}');
}

/// A time as it is on the wire: RFC 3339, UTC, with as many digits as it needs.
struct Time(DateTime<Utc>);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

/// A finite double with the shortest text that reads back as it.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A decimal as a JSON number, for the formats that `serde` writes.
pub(crate) fn decimal_as_number<S: Serializer>(decimal: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    decimal_to_f64(*decimal).serialize(serializer)
}
