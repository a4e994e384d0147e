//! Binance's frames and answers. Pure.
//!
//! Fields as in "WebSocket Streams" and "Market Data endpoints" of Binance's Spot API documentation.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use market::{
    Candle, CandleFields, CandleOrigin, CandleSource, DecimalError, Interval, Source, Symbol, Tick,
    TickFields, decimal_to_f64, parse_decimal,
};
use rust_decimal::Decimal;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

/// What a frame held.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// A trade.
    Tick(Tick),
    /// A minute that is over, as the venue sums it up.
    Candle(Candle),
    /// Nothing to pass on: an update of the day's figures, a minute in progress, an acknowledgement.
    Nothing,
}

/// Why a frame cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseError {
    #[error("not the JSON expected: {0}")]
    Json(#[from] serde_json::Error),
    #[error("symbol: {0}")]
    Symbol(#[from] market::SymbolError),
    #[error("{0} {1}")]
    Number(&'static str, market::DecimalError),
    #[error("{0} is out of range")]
    Time(&'static str),
    #[error(transparent)]
    Tick(#[from] market::TickError),
    #[error(transparent)]
    Candle(#[from] market::InvalidCandle),
}

/// What is known of a symbol's last 24 hours.
#[derive(Clone, Copy, Debug)]
struct Day {
    open: Decimal,
    high: Decimal,
    low: Decimal,
    volume: Decimal,
    change_percent: f64,
}

/// Reads the frames of one connection: trades carry a price only, the figures of the day come apart from them.
#[derive(Debug)]
pub(crate) struct Session {
    source: Source,
    days: HashMap<Symbol, Day>,
    /// Symbols whose single trades are in the stream: their aggregates repeat them.
    has_trades: HashSet<Symbol>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "e", borrow)]
    event: Option<&'a str>,
}

/// `@trade` and `@aggTrade`.
#[derive(Deserialize)]
struct Trade<'a> {
    #[serde(rename = "s", borrow)]
    symbol: &'a str,
    #[serde(rename = "p", borrow)]
    price: &'a str,
    #[serde(rename = "q", borrow)]
    quantity: &'a str,
    #[serde(rename = "T")]
    time: i64,
    /// The trade's id; of an aggregate the last one's.
    #[serde(alias = "l")]
    t: u64,
}

#[derive(Deserialize)]
struct MiniTicker<'a> {
    #[serde(rename = "s", borrow)]
    symbol: &'a str,
    #[serde(rename = "c", borrow)]
    close: &'a str,
    #[serde(rename = "o", borrow)]
    open: &'a str,
    #[serde(rename = "h", borrow)]
    high: &'a str,
    #[serde(rename = "l", borrow)]
    low: &'a str,
    #[serde(rename = "v", borrow)]
    volume: &'a str,
}

#[derive(Deserialize)]
struct KlineFrame<'a> {
    #[serde(rename = "s", borrow)]
    symbol: &'a str,
    #[serde(rename = "k", borrow)]
    kline: Kline<'a>,
}

#[derive(Deserialize)]
struct Kline<'a> {
    #[serde(rename = "t")]
    open_time: i64,
    #[serde(rename = "o", borrow)]
    open: &'a str,
    #[serde(rename = "h", borrow)]
    high: &'a str,
    #[serde(rename = "l", borrow)]
    low: &'a str,
    #[serde(rename = "c", borrow)]
    close: &'a str,
    #[serde(rename = "v", borrow)]
    volume: &'a str,
    #[serde(rename = "n")]
    trades: u64,
    #[serde(rename = "x")]
    is_closed: bool,
    #[serde(rename = "i", borrow)]
    interval: &'a str,
}

/// One symbol of `/api/v3/ticker/24hr`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ticker24h {
    symbol: String,
    price_change_percent: String,
    open_price: String,
    high_price: String,
    low_price: String,
    volume: String,
}

/// A row of `/api/v3/klines`: open time, open, high, low, close, volume, close time, quote volume, trades, ...
#[derive(Deserialize)]
pub(crate) struct KlineRow(
    i64,
    String,
    String,
    String,
    String,
    String,
    i64,
    IgnoredAny,
    u64,
    IgnoredAny,
    IgnoredAny,
    IgnoredAny,
);

fn decimal(field: &'static str, text: &str) -> Result<Decimal, ParseError> {
    parse_decimal(text).map(|decimal| decimal.normalize()).map_err(|error| ParseError::Number(field, error))
}

fn millis(field: &'static str, millis: i64) -> Result<DateTime<Utc>, ParseError> {
    DateTime::from_timestamp_millis(millis).ok_or(ParseError::Time(field))
}

impl Session {
    /// Before anything is known.
    pub(crate) fn new(source: Source) -> Self {
        Self { source, days: HashMap::new(), has_trades: HashSet::new() }
    }

    /// Takes in the day's figures as asked for.
    pub(crate) fn seed(&mut self, ticker: &Ticker24h) -> Result<(), ParseError> {
        let change = decimal("priceChangePercent", &ticker.price_change_percent)?;
        let day = Day {
            open: decimal("openPrice", &ticker.open_price)?,
            high: decimal("highPrice", &ticker.high_price)?,
            low: decimal("lowPrice", &ticker.low_price)?,
            volume: decimal("volume", &ticker.volume)?,
            change_percent: decimal_to_f64(change),
        };
        self.days.insert(Symbol::parse(&ticker.symbol)?, day);
        Ok(())
    }

    /// Reads a frame, of a combined stream or a raw one.
    pub(crate) fn parse(&mut self, frame: &[u8], received_at: DateTime<Utc>) -> Result<Frame, ParseError> {
        let envelope: Envelope<'_> = serde_json::from_slice(frame)?;
        let whole: &RawValue = serde_json::from_slice(frame)?;
        let data = envelope.data.unwrap_or(whole).get();
        // Some frames (`@bookTicker`) carry no event type at all: they hold no price that was paid.
        match serde_json::from_str::<Kind<'_>>(data)?.event {
            Some("trade") => {
                let trade: Trade<'_> = serde_json::from_str(data)?;
                let tick = self.trade(&trade, received_at)?;
                self.has_trades.insert(tick.symbol);
                Ok(Frame::Tick(tick))
            }
            Some("aggTrade") => {
                let trade: Trade<'_> = serde_json::from_str(data)?;
                if self.has_trades.contains(&Symbol::parse(trade.symbol)?) {
                    return Ok(Frame::Nothing);
                }
                self.trade(&trade, received_at).map(Frame::Tick)
            }
            Some("24hrMiniTicker") => self.mini_ticker(&serde_json::from_str(data)?).map(|()| Frame::Nothing),
            Some("kline") => self.kline(&serde_json::from_str(data)?),
            _ => Ok(Frame::Nothing),
        }
    }

    fn trade(&mut self, trade: &Trade<'_>, received_at: DateTime<Utc>) -> Result<Tick, ParseError> {
        let symbol = Symbol::parse(trade.symbol)?;
        let price = decimal("p", trade.price)?;
        let first = Day { open: price, high: price, low: price, volume: Decimal::ZERO, change_percent: 0.0 };
        let mut day = self.days.get(&symbol).copied().unwrap_or(first);
        day.high = day.high.max(price);
        day.low = day.low.min(price);
        // Until the next quote of the day's volume this trade is known to be in it.
        let size = decimal("q", trade.quantity)?;
        let volume = day.volume.checked_add(size);
        day.volume = volume.ok_or(ParseError::Number("q", DecimalError::NotFinite))?;
        day.change_percent = change_percent(day.open, price);
        let tick = Tick::new(TickFields {
            symbol,
            timestamp: millis("T", trade.time)?,
            price,
            volume: day.volume,
            open: day.open,
            high: day.high,
            low: day.low,
            size: Some(size),
            change_percent: day.change_percent,
            source: self.source,
            received_at,
            seq: trade.t,
        })?;
        // Only now: a trade that was refused leaves no trace in the day's figures.
        self.days.insert(symbol, day);
        Ok(tick)
    }

    fn mini_ticker(&mut self, ticker: &MiniTicker<'_>) -> Result<(), ParseError> {
        let open = decimal("o", ticker.open)?;
        let day = Day {
            open,
            high: decimal("h", ticker.high)?,
            low: decimal("l", ticker.low)?,
            volume: decimal("v", ticker.volume)?,
            change_percent: change_percent(open, decimal("c", ticker.close)?),
        };
        self.days.insert(Symbol::parse(ticker.symbol)?, day);
        Ok(())
    }

    fn kline(&self, frame: &KlineFrame<'_>) -> Result<Frame, ParseError> {
        let Kline { open_time, open, high, low, close, volume, trades, is_closed, interval } = frame.kline;
        if !is_closed || interval != Interval::Minute.as_str() {
            return Ok(Frame::Nothing);
        }
        let candle = bar(
            self.source,
            Symbol::parse(frame.symbol)?,
            open_time,
            [open, high, low, close, volume],
            trades,
        )?;
        Ok(Frame::Candle(candle))
    }
}

/// In percent, to four digits as the venue quotes it; 0 where there is nothing to compare with.
fn change_percent(open: Decimal, price: Decimal) -> f64 {
    let open = decimal_to_f64(open);
    if open > 0.0 { ((decimal_to_f64(price) / open - 1.0) * 1e6).round() / 1e4 } else { 0.0 }
}

fn bar(
    feed: Source,
    symbol: Symbol,
    open_time: i64,
    [open, high, low, close, volume]: [&str; 5],
    ticks: u64,
) -> Result<Candle, ParseError> {
    Ok(Candle::new(CandleFields {
        symbol,
        interval: Interval::Minute,
        time: millis("open time", open_time)?,
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

/// The bars of `/api/v3/klines` that were over at `now`.
pub(crate) fn klines(
    rows: &[KlineRow],
    feed: Source,
    symbol: Symbol,
    now: DateTime<Utc>,
) -> Result<Vec<Candle>, ParseError> {
    let closed = rows.iter().filter(|row| row.6 < now.timestamp_millis());
    closed.map(|row| bar(feed, symbol, row.0, [&row.1, &row.2, &row.3, &row.4, &row.5], row.8)).collect()
}
