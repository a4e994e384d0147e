//! The answer of Finnhub's `quote`. Pure. It has no volume.

use chrono::{DateTime, Datelike, Utc};
use market::{Source, Symbol, Tick, TickFields, decimal_from_f64};
use rust_decimal::Decimal;
use serde::Deserialize;

/// Why an answer has no price.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseError {
    /// Price and time are 0: there is no such symbol.
    #[error("it has no quote of the symbol")]
    UnknownSymbol,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is no usable number")]
    Number(&'static str),
    #[error(transparent)]
    Tick(#[from] market::TickError),
}

/// The answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    /// Last price.
    c: Option<f64>,
    /// Change against the previous close, in percent.
    dp: Option<f64>,
    /// High, low and open of the day.
    h: Option<f64>,
    l: Option<f64>,
    o: Option<f64>,
    /// Previous close.
    pc: Option<f64>,
    /// When the last price was made, in seconds.
    t: Option<i64>,
    /// Why there is no quote at all.
    pub(super) error: Option<String>,
}

/// The quote of a symbol, which the answer does not name. Its `seq` is the receive time in microseconds, which the caller makes
/// strictly increasing. Its volume is 0, which is unknown ([`TickFields::volume`]).
pub(crate) fn parse(
    answer: &Answer,
    symbol: Symbol,
    source: Source,
    received_at: DateTime<Utc>,
) -> Result<Tick, ParseError> {
    let (c, t) = (answer.c.ok_or(ParseError::Missing("c"))?, answer.t.ok_or(ParseError::Missing("t"))?);
    if c == 0.0 && t == 0 {
        return Err(ParseError::UnknownSymbol);
    }
    let price = positive(c).ok_or(ParseError::Number("c"))?;
    let timestamp = DateTime::from_timestamp(t, 0)
        .filter(|time| t > 0 && time.year() <= 9999)
        .ok_or(ParseError::Number("t"))?;
    // Before the first trade of a day those of the day may be 0.
    let [open, high, low] =
        [answer.o, answer.h, answer.l].map(|value| value.and_then(positive).unwrap_or(price));
    let from_close = || answer.pc.filter(|close| *close > 0.0).map(|close| (c / close - 1.0) * 100.0);
    let change = answer.dp.or_else(from_close).filter(|change| change.is_finite()).unwrap_or(0.0);
    Ok(Tick::new(TickFields {
        symbol,
        timestamp,
        price,
        volume: Decimal::ZERO,
        open,
        high: high.max(price).max(open),
        low: low.min(price).min(open),
        size: None,
        change_percent: (change * 1e4).round() / 1e4,
        source,
        received_at,
        seq: received_at.timestamp_micros().unsigned_abs(),
    })?)
}

fn positive(value: f64) -> Option<Decimal> {
    decimal_from_f64(value).filter(|price| *price > Decimal::ZERO)
}
