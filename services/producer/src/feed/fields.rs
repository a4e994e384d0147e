//! Fields of frames and answers, read as the text they are written in, so that no digit is lost. Pure.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use market::{Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, parse_decimal};
use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::epoch::from_epoch;

/// Why a frame or an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("not the JSON expected: {0}")]
    Json(#[from] serde_json::Error),
    #[error("symbol: {0}")]
    Symbol(#[from] market::SymbolError),
    #[error("symbol: `{0}` was not requested")]
    NotRequested(String),
    #[error("{0} {1}")]
    Number(&'static str, market::DecimalError),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} has another type than expected")]
    WrongType(&'static str),
    #[error("{0} is out of range")]
    Time(&'static str),
    #[error(transparent)]
    Tick(#[from] market::TickError),
    #[error(transparent)]
    Candle(#[from] market::InvalidCandle),
}

impl ParseError {
    pub(crate) fn not_requested(name: &str) -> Self {
        Self::NotRequested(name.escape_debug().to_string())
    }
}

/// A text of a frame; the venues' hold no escapes.
pub(crate) fn text<'a>(field: &'static str, raw: Option<&'a RawValue>) -> Result<&'a str, ParseError> {
    let raw = raw.ok_or(ParseError::Missing(field))?.get();
    let text = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    text.filter(|text| !text.contains('\\')).ok_or(ParseError::WrongType(field))
}

/// An integer or a boolean of a frame.
pub(crate) fn plain<T: FromStr>(field: &'static str, raw: Option<&RawValue>) -> Result<T, ParseError> {
    let raw = raw.ok_or(ParseError::Missing(field))?.get();
    raw.parse().map_err(|_| ParseError::WrongType(field))
}

/// A decimal that is written as a text.
pub(crate) fn quoted_decimal(field: &'static str, raw: Option<&RawValue>) -> Result<Decimal, ParseError> {
    decimal(field, text(field, raw)?)
}

/// A decimal that is written as a JSON number.
pub(crate) fn bare_decimal(field: &'static str, raw: Option<&RawValue>) -> Result<Decimal, ParseError> {
    decimal(field, raw.ok_or(ParseError::Missing(field))?.get())
}

pub(crate) fn decimal(field: &'static str, text: &str) -> Result<Decimal, ParseError> {
    parse_decimal(text).map(|decimal| decimal.normalize()).map_err(|error| ParseError::Number(field, error))
}

/// A time in RFC 3339.
pub(crate) fn date_time(field: &'static str, text: &str) -> Result<DateTime<Utc>, ParseError> {
    text.parse().map_err(|_| ParseError::Time(field))
}

/// A time as a number since 1970.
pub(crate) fn moment(field: &'static str, number: i64) -> Result<DateTime<Utc>, ParseError> {
    from_epoch(number).ok_or(ParseError::Time(field))
}

/// A candle that a venue quotes, as texts: its prices and its volume. `ticks` is 0 where the venue does not count trades.
pub(crate) fn quoted_candle(
    (feed, symbol, interval): (Source, Symbol, Interval),
    open_time: i64,
    [open, high, low, close, volume]: [&str; 5],
    ticks: u64,
) -> Result<Candle, ParseError> {
    Ok(Candle::new(CandleFields {
        symbol,
        interval,
        time: moment("open time", open_time)?,
        open: decimal("open", open)?,
        high: decimal("high", high)?,
        low: decimal("low", low)?,
        close: decimal("close", close)?,
        volume: Some(decimal("volume", volume)?),
        ticks,
        source: CandleSource { feed, origin: CandleOrigin::Provider },
        is_final: true,
    })?)
}

/// The candles of an answer. One row that cannot be used does not take the others with it; an answer without a usable row is an error.
pub(crate) fn usable(
    rows: impl Iterator<Item = Result<Candle, ParseError>>,
) -> Result<Vec<Candle>, ParseError> {
    let (mut candles, mut refused) = (Vec::new(), None);
    for row in rows {
        match row {
            Ok(candle) => candles.push(candle),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) if candles.is_empty() => Err(error),
        _ => Ok(candles),
    }
}
