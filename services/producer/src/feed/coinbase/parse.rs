//! Coinbase Exchange's frames and answers. Pure.
//!
//! Fields as in "Exchange WebSocket Channels" (`matches`, `ticker`, `error`), "Get product stats" and "Get product candles" of
//! Coinbase's documentation.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt,
};

use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, Interval, Source, Symbol};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::feed::{
    fields::{ParseError, date_time, decimal, moment, quoted_candle, usable},
    figures::{Counted, Figures, Quoted, Trade},
    live::Received,
};

/// `matches` has every trade once, with its id and size; `ticker` has the figures of the day. It follows every trade, also the first
/// after a subscription, and names the last one that is in its volume.
const CHANNELS: [&str; 2] = ["matches", "ticker"];

/// `BTC/USD` is `BTC-USD` there.
pub(super) fn product_id(symbol: Symbol) -> String {
    symbol.as_str().replace('/', "-")
}

/// The message that subscribes these symbols. Each channel names its products: the venue has refused products beside the channels
/// since 2023 (thrasher-corp/gocryptotrader, pull request 1421).
pub(super) fn subscription<'a>(symbols: impl Iterator<Item = &'a Symbol>) -> String {
    let ids: Vec<String> = symbols.map(|symbol| product_id(*symbol)).collect();
    let channels = CHANNELS.map(|name| json!({"name": name, "product_ids": ids}));
    json!({"type": "subscribe", "channels": channels}).to_string()
}

/// A frame; fields that a kind does not have are absent.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Frame<'a> {
    r#type: Option<&'a str>,
    product_id: Option<&'a str>,
    trade_id: Option<u64>,
    price: Option<&'a str>,
    size: Option<&'a str>,
    time: Option<&'a str>,
    open_24h: Option<&'a str>,
    high_24h: Option<&'a str>,
    low_24h: Option<&'a str>,
    volume_24h: Option<&'a str>,
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
    #[serde(borrow)]
    reason: Option<Cow<'a, str>>,
}

fn required<'a>(field: &'static str, value: Option<&'a str>) -> Result<&'a str, ParseError> {
    value.ok_or(ParseError::Missing(field))
}

/// Reads the frames of one connection after the other.
#[derive(Debug)]
pub(super) struct FrameReader {
    /// What was requested, by the venue's name. Another one is refused.
    products: HashMap<String, Symbol>,
    /// What the open connection subscribes.
    subscribed: BTreeSet<Symbol>,
    figures: Figures,
}

impl FrameReader {
    /// Before anything is known.
    pub(super) fn new(source: Source, symbols: &[Symbol]) -> Self {
        let products = symbols.iter().map(|symbol| (product_id(*symbol), *symbol)).collect();
        Self { products, subscribed: symbols.iter().copied().collect(), figures: Figures::new(source) }
    }

    /// A connection begins with these symbols.
    pub(super) fn begin(&mut self, subscribed: impl Iterator<Item = Symbol>) {
        self.subscribed = subscribed.collect();
    }

    /// Reads a frame.
    pub(super) fn parse(&mut self, frame: &[u8], received_at: DateTime<Utc>) -> Result<Received, ParseError> {
        let frame: Frame<'_> = serde_json::from_slice(frame)?;
        match frame.r#type {
            Some("match" | "last_match") => self.trade(&frame, received_at),
            Some("ticker") => self.ticker(&frame).map(|()| Received::Update),
            Some("error") => Ok(self.error(&frame)),
            // `subscriptions` repeats what is subscribed; what is not has an `error` of its own.
            _ => Ok(Received::Answer),
        }
    }

    fn symbol(&self, frame: &Frame<'_>) -> Result<Symbol, ParseError> {
        let id = required("product_id", frame.product_id)?;
        self.products.get(id).copied().ok_or_else(|| ParseError::not_requested(id))
    }

    fn trade(&mut self, frame: &Frame<'_>, received_at: DateTime<Utc>) -> Result<Received, ParseError> {
        let (symbol, id) = (self.symbol(frame)?, frame.trade_id.ok_or(ParseError::Missing("trade_id"))?);
        // A subscription repeats the last match.
        if self.figures.is_known(symbol, id) {
            return Ok(Received::Update);
        }
        let price = decimal("price", required("price", frame.price)?)?;
        let size = decimal("size", required("size", frame.size)?)?;
        let timestamp = date_time("time", required("time", frame.time)?)?;
        let tick = self.figures.tick(symbol, Trade { id, price, size, timestamp, received_at })?;
        Ok(Received::Trades(vec![tick], Vec::new()))
    }

    fn ticker(&mut self, frame: &Frame<'_>) -> Result<(), ParseError> {
        let quoted = Quoted {
            open: decimal("open_24h", required("open_24h", frame.open_24h)?)?,
            high: decimal("high_24h", required("high_24h", frame.high_24h)?)?,
            low: decimal("low_24h", required("low_24h", frame.low_24h)?)?,
            volume: decimal("volume_24h", required("volume_24h", frame.volume_24h)?)?,
            counted: frame.trade_id.map_or(Counted::Received, Counted::ToTrade),
        };
        self.figures.quote(self.symbol(frame)?, quoted);
        Ok(())
    }

    /// An error that names products: `{"type":"error","message":"Failed to subscribe","reason":"XYZ-USD is not a valid product"}`. The
    /// venue ignores the whole subscription then (coinbase/coinbase-pro-node, issue 174), so the others are subscribed again.
    fn error(&mut self, frame: &Frame<'_>) -> Received {
        let (message, reason) =
            (frame.message.as_deref().unwrap_or("an error"), frame.reason.as_deref().unwrap_or_default());
        let text = if reason.is_empty() { message.to_owned() } else { format!("{message}: {reason}") };
        let is_of_id = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        let named: Vec<Symbol> = text
            .split(|letter| !is_of_id(letter))
            .filter_map(|word| self.products.get(&word.to_ascii_uppercase()).copied())
            .collect();
        if named.is_empty() {
            return Received::Failed(text);
        }
        let refused: Vec<(Symbol, String)> = named
            .into_iter()
            .filter(|symbol| self.subscribed.remove(symbol))
            .map(|symbol| (symbol, text.clone()))
            .collect();
        if refused.is_empty() {
            return Received::Answer;
        }
        let messages =
            if self.subscribed.is_empty() { Vec::new() } else { vec![subscription(self.subscribed.iter())] };
        Received::Refused { symbols: refused, messages }
    }
}

/// One product of `/products`.
#[derive(Deserialize)]
pub(super) struct Product {
    id: String,
    #[serde(default)]
    status: String,
}

/// Those of the symbols that are not traded, with the reason.
pub(super) fn not_traded(products: &[Product], symbols: &[Symbol]) -> Vec<(Symbol, String)> {
    let listed: HashMap<&str, &str> =
        products.iter().map(|product| (product.id.as_str(), product.status.as_str())).collect();
    let refused = |symbol: &Symbol| match listed.get(product_id(*symbol).as_str()) {
        None => Some((*symbol, "not listed".to_owned())),
        Some(&"delisted") => Some((*symbol, "delisted".to_owned())),
        Some(_) => None,
    };
    symbols.iter().filter_map(refused).collect()
}

/// The answer of `/products/{id}/stats`.
#[derive(Deserialize)]
pub(super) struct Stats {
    open: String,
    high: String,
    low: String,
    volume: String,
    last: String,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, high, low, volume, last } = self;
        write!(f, "{last}; 24 h: open {open}, high {high}, low {low}, volume {volume}")
    }
}

/// A row of `/products/{id}/candles`: time in seconds, low, high, open, close, volume. The numbers are kept as they are written.
#[derive(Deserialize)]
pub(super) struct CandleRow(i64, Box<RawValue>, Box<RawValue>, Box<RawValue>, Box<RawValue>, Box<RawValue>);

/// The candles of an answer that were over at `now`, the oldest first. The venue lists the newest first, and does not count trades.
pub(super) fn candles(
    rows: &[CandleRow],
    of: (Source, Symbol, Interval),
    now: DateTime<Utc>,
) -> Result<Vec<Candle>, ParseError> {
    let width: TimeDelta = of.2.duration();
    let has_ended = |row: &&CandleRow| moment("time", row.0).is_ok_and(|time| time + width <= now);
    usable(rows.iter().rev().filter(has_ended).map(|CandleRow(time, low, high, open, close, volume)| {
        quoted_candle(of, *time, [open.get(), high.get(), low.get(), close.get(), volume.get()], 0)
    }))
}
