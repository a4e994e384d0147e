//! Coinbase's frames as recorded from the Exchange feed and from Advanced Trade. Pure. The live feed is read by [`super::parse`].
//!
//! Fields as in "WebSocket Channels" of Coinbase's documentation: `ticker`, `match`, `last_match`; Advanced Trade wraps
//! `ticker` and `market_trades` in `events`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use market::{DecimalError, Source, Symbol, Tick, TickFields, decimal_to_f64};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};

use crate::feed::fields::{self, ParseError};

/// What a frame held.
#[derive(Debug, Default)]
pub(crate) struct Ticks {
    pub(crate) ticks: Vec<Tick>,
    /// Why others of the same frame cannot be used.
    pub(crate) refused: Vec<ParseError>,
}

impl Ticks {
    fn take(&mut self, read: Result<Option<Tick>, ParseError>) {
        match read {
            Ok(tick) => self.ticks.extend(tick),
            Err(error) => self.refused.push(error),
        }
    }
}

/// A frame of either feed; fields that a kind does not have are absent.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Frame {
    r#type: Option<String>,
    channel: Option<String>,
    timestamp: Option<DateTime<Utc>>,
    events: Vec<Event>,
    #[serde(flatten)]
    quote: Quote,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Event {
    trades: Vec<Quote>,
    tickers: Vec<Quote>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Quote {
    product_id: Option<String>,
    price: Option<String>,
    #[serde(deserialize_with = "text_or_number")]
    trade_id: Option<u64>,
    time: Option<DateTime<Utc>>,
    size: Option<String>,
    last_size: Option<String>,
    open_24h: Option<String>,
    #[serde(alias = "volume_24_h")]
    volume_24h: Option<String>,
    #[serde(alias = "low_24_h")]
    low_24h: Option<String>,
    #[serde(alias = "high_24_h")]
    high_24h: Option<String>,
    #[serde(alias = "price_percent_chg_24_h")]
    price_percent_change: Option<String>,
}

/// Trade ids are numbers in one feed and texts in the other.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Id {
        Number(u64),
        Text(String),
    }
    match Option::<Id>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Id::Number(id)) => Ok(Some(id)),
        Some(Id::Text(text)) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

#[derive(Clone, Copy)]
struct Day {
    open: Decimal,
    high: Decimal,
    low: Decimal,
    volume: Decimal,
    /// A ticker has been seen: it repeats every match, with the day's figures.
    has_ticker: bool,
}

/// Reads the frames of one recording.
pub(crate) struct FrameReader {
    source: Source,
    days: HashMap<Symbol, Day>,
    /// The newest match of each symbol: one that comes again, as after a reconnect, is in the volume already.
    newest: HashMap<Symbol, u64>,
}

impl FrameReader {
    /// Before anything is known.
    pub(crate) fn new(source: Source) -> Self {
        Self { source, days: HashMap::new(), newest: HashMap::new() }
    }

    /// The ticks of a frame. A match and the ticker that repeats it have the same identity, the trade's id; a match is
    /// passed over once its product has a ticker. One item of a frame that cannot be used does not take the others with it.
    pub(crate) fn parse(&mut self, frame: &[u8], received_at: DateTime<Utc>) -> Result<Ticks, ParseError> {
        let Frame { r#type, channel, timestamp, events, quote } = serde_json::from_slice(frame)?;
        let mut ticks = Ticks::default();
        match (channel.as_deref(), r#type.as_deref()) {
            (Some("ticker" | "ticker_batch" | "market_trades"), _) => {
                for mut event in events {
                    // The venue lists the newest trade first.
                    event.trades.sort_by_key(|trade| (trade.time, trade.trade_id));
                    for mut quote in event.tickers {
                        quote.time = quote.time.or(timestamp);
                        ticks.take(self.ticker(&quote, received_at));
                    }
                    for quote in event.trades {
                        ticks.take(self.trade(&quote, received_at));
                    }
                }
            }
            (_, Some("ticker")) => ticks.take(self.ticker(&quote, received_at)),
            (_, Some("match" | "last_match")) => ticks.take(self.trade(&quote, received_at)),
            _ => {}
        }
        Ok(ticks)
    }

    fn ticker(&mut self, quote: &Quote, received_at: DateTime<Utc>) -> Result<Option<Tick>, ParseError> {
        let symbol = symbol(quote)?;
        let price = number("price", quote.price.as_deref())?;
        let day = Day {
            open: match (&quote.open_24h, &quote.price_percent_change) {
                (Some(open), _) => number("open_24h", Some(open))?,
                (None, Some(change)) => open_before(price, number("price_percent_chg_24_h", Some(change))?),
                (None, None) => price,
            },
            high: number("high_24h", quote.high_24h.as_deref())?.max(price),
            low: number("low_24h", quote.low_24h.as_deref())?.min(price),
            volume: number("volume_24h", quote.volume_24h.as_deref())?,
            has_ticker: true,
        };
        let tick = self.tick(symbol, price, day, quote, received_at)?;
        self.days.insert(symbol, day);
        Ok(Some(tick))
    }

    fn trade(&mut self, quote: &Quote, received_at: DateTime<Utc>) -> Result<Option<Tick>, ParseError> {
        let symbol = symbol(quote)?;
        let price = number("price", quote.price.as_deref())?;
        let size = number("size", quote.size.as_deref())?;
        let first = Day { open: price, high: price, low: price, volume: Decimal::ZERO, has_ticker: false };
        let mut day = self.days.get(&symbol).copied().unwrap_or(first);
        if day.has_ticker {
            return Ok(None);
        }
        day.high = day.high.max(price);
        day.low = day.low.min(price);
        let id = quote.trade_id.unwrap_or_default();
        let is_new = quote.trade_id.is_none() || self.newest.get(&symbol).is_none_or(|newest| id > *newest);
        if is_new {
            day.volume =
                day.volume.checked_add(size).ok_or(ParseError::Number("size", DecimalError::NotFinite))?;
        }
        let tick = self.tick(symbol, price, day, quote, received_at)?;
        // Only now: a trade that was refused leaves no trace in the day's figures.
        self.days.insert(symbol, day);
        let newest = self.newest.entry(symbol).or_default();
        *newest = id.max(*newest);
        Ok(Some(tick))
    }

    fn tick(
        &self,
        symbol: Symbol,
        price: Decimal,
        day: Day,
        quote: &Quote,
        received_at: DateTime<Utc>,
    ) -> Result<Tick, ParseError> {
        let (open, now) = (decimal_to_f64(day.open), decimal_to_f64(price));
        let change = if open > 0.0 { (now / open - 1.0) * 100.0 } else { 0.0 };
        Ok(Tick::new(TickFields {
            symbol,
            timestamp: quote.time.ok_or(ParseError::Missing("time"))?,
            price,
            volume: day.volume,
            open: day.open,
            high: day.high,
            low: day.low,
            size: quote
                .size
                .as_deref()
                .or(quote.last_size.as_deref())
                .map(|size| number("size", Some(size)))
                .transpose()?,
            change_percent: (change * 1e4).round() / 1e4,
            source: self.source,
            received_at,
            // Advanced Trade's ticker names no trade: the time of the quote stands in for it.
            seq: quote.trade_id.unwrap_or_else(|| received_at.timestamp_micros().unsigned_abs()),
        })?)
    }
}

fn symbol(quote: &Quote) -> Result<Symbol, ParseError> {
    // Its product ids have a separator.
    Ok(Symbol::parse_pair(quote.product_id.as_deref().ok_or(ParseError::Missing("product_id"))?, &[])?)
}

fn number(field: &'static str, text: Option<&str>) -> Result<Decimal, ParseError> {
    fields::decimal(field, text.ok_or(ParseError::Missing(field))?)
}

/// The price before a change in percent, to eight digits behind the point.
fn open_before(price: Decimal, percent: Decimal) -> Decimal {
    let factor = Decimal::ONE + percent / Decimal::ONE_HUNDRED;
    price.checked_div(factor).map_or(price, |open| open.round_dp(8).normalize())
}

#[cfg(test)]
mod tests;
