//! The answer of Yahoo's chart endpoint, `v8/finance/chart/{symbol}`. Pure. The endpoint is unofficial: every field may
//! be missing.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Utc};
use market::{
    Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, Tick, TickFields, day_bounds,
    decimal_from_f64, decimal_to_f64,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("the provider reports: {0}")]
    Provider(String),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is no usable number")]
    Number(&'static str),
    #[error("it is about `{0}`")]
    OtherSymbol(String),
    #[error(transparent)]
    Tick(#[from] market::TickError),
}

/// The answer.
#[derive(Deserialize)]
pub(crate) struct Answer {
    chart: Chart,
}

#[derive(Deserialize)]
struct Chart {
    result: Option<Vec<Outcome>>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    description: Option<String>,
}

#[derive(Deserialize)]
struct Outcome {
    meta: Meta,
    #[serde(default, deserialize_with = "or_default")]
    timestamp: Vec<Option<i64>>,
    #[serde(default, deserialize_with = "or_default")]
    indicators: Indicators,
}

/// A field that is absent, or null.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    symbol: String,
    range: Option<String>,
    data_granularity: Option<String>,
    regular_market_price: Option<f64>,
    regular_market_time: Option<i64>,
    regular_market_day_high: Option<f64>,
    regular_market_day_low: Option<f64>,
    regular_market_volume: Option<f64>,
    previous_close: Option<f64>,
    chart_previous_close: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Indicators {
    #[serde(deserialize_with = "or_default")]
    quote: Vec<Option<Quote>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Quote {
    #[serde(deserialize_with = "or_default")]
    open: Vec<Option<f64>>,
    #[serde(deserialize_with = "or_default")]
    high: Vec<Option<f64>>,
    #[serde(deserialize_with = "or_default")]
    low: Vec<Option<f64>>,
    #[serde(deserialize_with = "or_default")]
    close: Vec<Option<f64>>,
    #[serde(deserialize_with = "or_default")]
    volume: Vec<Option<f64>>,
}

impl Outcome {
    fn quote(&self) -> Option<&Quote> {
        self.indicators.quote.first()?.as_ref()
    }
}

/// What an answer holds.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The newest price; its `seq` is the receive time in microseconds, which the caller makes strictly increasing.
    pub(crate) tick: Tick,
    /// The candles, holes left out.
    pub(crate) candles: Vec<Candle>,
}

/// `BRK.B` is `BRK-B` there.
pub(crate) fn venue_name(symbol: Symbol) -> String {
    symbol.as_str().replace('.', "-")
}

/// The candles of an answer about `symbol`, holes left out.
pub(crate) fn history(
    answer: Answer,
    symbol: Symbol,
    source: Source,
    now: DateTime<Utc>,
) -> Result<Vec<Candle>, ParseError> {
    let outcome = outcome(answer, symbol)?;
    Ok(candles(&outcome, symbol, CandleSource { feed: source, origin: CandleOrigin::Provider }, now))
}

/// Reads the answer to a question about `symbol`.
pub(crate) fn parse(
    answer: Answer,
    symbol: Symbol,
    source: Source,
    received_at: DateTime<Utc>,
) -> Result<Parsed, ParseError> {
    let outcome = outcome(answer, symbol)?;
    let feed = CandleSource { feed: source, origin: CandleOrigin::Provider };
    let candles = candles(&outcome, symbol, feed, received_at);
    let tick = tick(&outcome, symbol, source, received_at)?;
    Ok(Parsed { tick, candles })
}

/// What the provider returned, if it is about the symbol.
fn outcome(answer: Answer, symbol: Symbol) -> Result<Outcome, ParseError> {
    if let Some(Refusal { description }) = answer.chart.error {
        return Err(ParseError::Provider(
            description.unwrap_or_else(|| "an error without description".to_owned()),
        ));
    }
    let outcome = answer
        .chart
        .result
        .and_then(|list| list.into_iter().next())
        .ok_or(ParseError::Missing("chart.result"))?;
    if outcome.meta.symbol != venue_name(symbol) {
        return Err(ParseError::OtherSymbol(
            outcome.meta.symbol.chars().take(24).flat_map(char::escape_debug).collect(),
        ));
    }
    Ok(outcome)
}

fn seconds(field: &'static str, seconds: Option<i64>) -> Result<DateTime<Utc>, ParseError> {
    moment(seconds.ok_or(ParseError::Missing(field))?).ok_or(ParseError::Number(field))
}

/// A time that four digits of a year hold; calendars end not far beyond.
fn moment(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0).filter(|time| (1970..=9999).contains(&time.year()))
}

/// A price above zero.
fn price(field: &'static str, value: Option<f64>) -> Result<Decimal, ParseError> {
    let value = value.ok_or(ParseError::Missing(field))?;
    widened(value).filter(|price| *price > Decimal::ZERO).ok_or(ParseError::Number(field))
}

/// Many of Yahoo's prices are single-precision numbers that were widened: the shortest decimal that gives the same number is meant.
/// Others are doubles.
fn widened(value: f64) -> Option<Decimal> {
    let single = value as f32;
    if f64::from(single).to_bits() == value.to_bits() {
        return decimal_from_f64(single.to_string().parse().ok()?);
    }
    decimal_from_f64(value).map(|exact| exact.normalize())
}

fn tick(
    outcome: &Outcome,
    symbol: Symbol,
    source: Source,
    received_at: DateTime<Utc>,
) -> Result<Tick, ParseError> {
    let meta = &outcome.meta;
    // Without a price of its own the answer may have that of its newest candle.
    let newest_close = || outcome.quote().and_then(|quote| quote.close.iter().rev().find_map(|close| *close));
    let last = price("regularMarketPrice", meta.regular_market_price.or_else(newest_close))?;
    let timestamp = seconds("regularMarketTime", meta.regular_market_time)?;
    let day = day_bounds(symbol.asset_class(), timestamp);
    let quote = outcome.quote();
    let of_day = |values: fn(&Quote) -> &[Option<f64>]| {
        let all = outcome.timestamp.iter().zip(quote.map(values).unwrap_or_default());
        all.filter(|(at, _)| at.and_then(moment).is_some_and(|at| day.holds(at)))
            .filter_map(|(_, value)| *value)
    };
    let open = of_day(|quote| &quote.open)
        .next()
        .and_then(widened)
        .filter(|open| *open > Decimal::ZERO)
        .unwrap_or(last);
    let high = meta
        .regular_market_day_high
        .or_else(|| of_day(|quote| &quote.high).reduce(f64::max))
        .and_then(widened);
    let low =
        meta.regular_market_day_low.or_else(|| of_day(|quote| &quote.low).reduce(f64::min)).and_then(widened);
    let volume = meta.regular_market_volume.unwrap_or_else(|| of_day(|quote| &quote.volume).sum());
    // The close before the chart is the close before the day only where the chart shows one day.
    let one_day = meta.range.as_deref() == Some("1d");
    let before =
        meta.previous_close.or(meta.chart_previous_close.filter(|_| one_day)).filter(|close| *close > 0.0);
    let change = before.map_or(0.0, |close| (decimal_to_f64(last) / close - 1.0) * 100.0);
    Ok(Tick::new(TickFields {
        symbol,
        timestamp,
        price: last,
        volume: decimal_from_f64(volume).ok_or(ParseError::Number("regularMarketVolume"))?,
        open,
        high: high.unwrap_or(last).max(last).max(open),
        low: low.filter(|low| *low > Decimal::ZERO).unwrap_or(last).min(last).min(open),
        size: None,
        change_percent: (change * 1e4).round() / 1e4,
        source,
        received_at,
        seq: received_at.timestamp_micros().unsigned_abs(),
    })?)
}

/// Candles without holes; the last one only where it is over. Half hours are put together to hours. A candle that does not begin
/// where ours of its interval do is left out: the hours of a stock begin at the half.
fn candles(outcome: &Outcome, symbol: Symbol, source: CandleSource, now: DateTime<Utc>) -> Vec<Candle> {
    let (interval, is_half_hours) = match outcome.meta.data_granularity.as_deref() {
        Some("1m") => (Interval::Minute, false),
        Some("5m") => (Interval::FiveMinutes, false),
        Some("15m") => (Interval::FifteenMinutes, false),
        Some("30m") => (Interval::Hour, true),
        Some("1h" | "60m") => (Interval::Hour, false),
        Some("1d") => (Interval::Day, false),
        _ => return Vec::new(),
    };
    let mut candles: Vec<Candle> = Vec::new();
    let mut joined_rows: BTreeSet<DateTime<Utc>> = BTreeSet::new();
    for (place, seconds) in outcome.timestamp.iter().enumerate() {
        let Some(opened) = seconds.and_then(moment) else { continue };
        let day = day_bounds(symbol.asset_class(), opened);
        let (time, end) = match interval {
            Interval::Day => (day.label(), day.end),
            _ => (interval.floor(opened), interval.floor(opened) + interval.duration()),
        };
        // The row of the newest price stands beside the candle of its minute.
        let begins_inside = interval != Interval::Day && !is_half_hours && opened != time;
        if begins_inside || end > now {
            continue;
        }
        let Some(candle) = candle(outcome, place, (symbol, interval, time), source) else { continue };
        match candles.last_mut().filter(|last| last.time == time) {
            Some(last) if is_half_hours && !joined_rows.contains(&opened) => *last = joined(*last, candle),
            Some(_) if is_half_hours => {}
            // A day that is there twice: at its end it has more volume than within it.
            Some(last) if candle.volume > last.volume => *last = candle,
            Some(_) => {}
            None => candles.push(candle),
        }
        joined_rows.insert(opened);
    }
    candles
}

/// One candle of two that follow each other in one interval.
fn joined(first: Candle, second: Candle) -> Candle {
    let fields = CandleFields {
        high: first.high.max(second.high),
        low: first.low.min(second.low),
        close: second.close,
        volume: first.volume.zip(second.volume).and_then(|(a, b)| a.checked_add(b)),
        ..first.into_fields()
    };
    Candle::new(fields).unwrap_or(first)
}

/// The row at a place, `None` where it has a hole.
fn candle(
    outcome: &Outcome,
    place: usize,
    (symbol, interval, time): (Symbol, Interval, DateTime<Utc>),
    source: CandleSource,
) -> Option<Candle> {
    let quote = outcome.quote()?;
    let at = |values: &[Option<f64>]| values.get(place).copied().flatten();
    let positive =
        |values: &[Option<f64>]| at(values).and_then(widened).filter(|price| *price > Decimal::ZERO);
    let (open, close) = (positive(&quote.open)?, positive(&quote.close)?);
    Candle::new(CandleFields {
        symbol,
        interval,
        time,
        open,
        high: positive(&quote.high)?.max(open).max(close),
        low: positive(&quote.low)?.min(open).min(close),
        close,
        volume: at(&quote.volume).and_then(decimal_from_f64).filter(|volume| *volume >= Decimal::ZERO),
        ticks: 0,
        source,
        is_final: true,
    })
    .ok()
}
