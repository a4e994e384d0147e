//! The answer of Alpha Vantage's `GLOBAL_QUOTE`. Pure. Refusals come with status 200 as well, in a field of their own.

use chrono::{DateTime, NaiveDate, Utc};
use market::{Source, Symbol, Tick, TickFields, parse_decimal, trading_hours};
use rust_decimal::Decimal;
use serde::Deserialize;

/// Why an answer has no price.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseError {
    /// The key has no calls left, or is used too fast.
    #[error("it asks us to come less often: {0}")]
    Throttled(String),
    /// The key is refused.
    #[error("it refuses the key: {0}")]
    Key(String),
    /// This request is refused.
    #[error("it refuses the request: {0}")]
    Refused(String),
    /// There is no such symbol: the quote is an empty object.
    #[error("it has no quote of the symbol")]
    UnknownSymbol,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is no usable number")]
    Number(&'static str),
    #[error("the latest trading day is no date")]
    Day,
    #[error("it is about `{0}`")]
    OtherSymbol(String),
    #[error(transparent)]
    Tick(#[from] market::TickError),
}

/// The answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    #[serde(rename = "Global Quote")]
    quote: Option<Quote>,
    #[serde(rename = "Note")]
    note: Option<String>,
    #[serde(rename = "Information")]
    information: Option<String>,
    #[serde(rename = "Error Message")]
    error: Option<String>,
}

/// Every number is a text.
#[derive(Debug, Default, Deserialize)]
struct Quote {
    #[serde(rename = "01. symbol")]
    symbol: Option<String>,
    #[serde(rename = "02. open")]
    open: Option<String>,
    #[serde(rename = "03. high")]
    high: Option<String>,
    #[serde(rename = "04. low")]
    low: Option<String>,
    #[serde(rename = "05. price")]
    price: Option<String>,
    #[serde(rename = "06. volume")]
    volume: Option<String>,
    #[serde(rename = "07. latest trading day")]
    day: Option<String>,
    #[serde(rename = "10. change percent")]
    change_percent: Option<String>,
}

/// The quote of `symbol`. Its `seq` is the receive time in microseconds, which the caller makes strictly increasing.
pub(crate) fn parse(
    answer: Answer,
    symbol: Symbol,
    source: Source,
    received_at: DateTime<Utc>,
) -> Result<Tick, ParseError> {
    if let Some(reason) = answer.note.or(answer.information) {
        return Err(ParseError::Throttled(reason));
    }
    if let Some(reason) = answer.error {
        let is_key = reason.to_ascii_lowercase().contains("apikey");
        return Err(if is_key { ParseError::Key(reason) } else { ParseError::Refused(reason) });
    }
    let quote = answer.quote.ok_or(ParseError::Missing("Global Quote"))?;
    let Some(name) = quote.symbol else { return Err(ParseError::UnknownSymbol) };
    if !name.eq_ignore_ascii_case(symbol.as_str()) {
        return Err(ParseError::OtherSymbol(name.chars().take(24).flat_map(char::escape_debug).collect()));
    }
    let price = positive("05. price", quote.price.as_deref())?;
    let or_price = |field, text: Option<&str>| text.map_or(Ok(price), |text| positive(field, Some(text)));
    let open = or_price("02. open", quote.open.as_deref())?;
    let high = or_price("03. high", quote.high.as_deref())?;
    let low = or_price("04. low", quote.low.as_deref())?;
    let day: NaiveDate = quote
        .day
        .ok_or(ParseError::Missing("07. latest trading day"))?
        .trim()
        .parse()
        .map_err(|_| ParseError::Day)?;
    Ok(Tick::new(TickFields {
        symbol,
        timestamp: time_of(day, symbol, received_at)?,
        price,
        // The running total of that session; without one it is unknown, see [`TickFields::volume`].
        volume: quote.volume.map_or(Ok(Decimal::ZERO), |text| number("06. volume", &text))?,
        open,
        high: high.max(price).max(open),
        low: low.min(price).min(open),
        size: None,
        change_percent: quote.change_percent.map_or(Ok(0.0), |text| percent(&text))?,
        source,
        received_at,
        seq: received_at.timestamp_micros().unsigned_abs(),
    })?)
}

/// When the price was made. A quote has only its day: during the session of that day it is of now, otherwise it is the close of that
/// session. A day that the calendar has no session of had one, as there is a price.
fn time_of(day: NaiveDate, symbol: Symbol, received_at: DateTime<Utc>) -> Result<DateTime<Utc>, ParseError> {
    let session = trading_hours(symbol.asset_class(), day).ok_or(ParseError::Day)?;
    Ok(session.close.min(received_at))
}

fn number(field: &'static str, text: &str) -> Result<Decimal, ParseError> {
    parse_decimal(text.trim()).map_err(|_| ParseError::Number(field))
}

fn positive(field: &'static str, text: Option<&str>) -> Result<Decimal, ParseError> {
    let number = number(field, text.ok_or(ParseError::Missing(field))?)?;
    if number > Decimal::ZERO { Ok(number) } else { Err(ParseError::Number(field)) }
}

/// `0.3425%`.
fn percent(text: &str) -> Result<f64, ParseError> {
    let number = text.trim().trim_end_matches('%').parse().ok().filter(|percent: &f64| percent.is_finite());
    number.ok_or(ParseError::Number("10. change percent"))
}
