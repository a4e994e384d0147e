//! Kraken's frames and answers. Pure.
//!
//! Fields as in "WebSocket API v2" (`trade`, `ticker`, `subscribe`), "Get OHLC Data", "Get Ticker Information" and "Get Tradable Asset
//! Pairs" of Kraken's documentation. Frames have prices and quantities as JSON numbers: they are read as the text they are written in.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
};

use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, DecimalError, Interval, Source, Symbol};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::feed::{
    fields::{ParseError, bare_decimal, date_time, moment, quoted_candle, usable},
    figures::{Counted, Figures, Quoted, Trade},
    live::Received,
};

/// The figures of the day come first, so that the first trades have them.
const CHANNELS: [&str; 2] = ["ticker", "trade"];

/// The messages that subscribe these symbols, which the socket names as they are named here: version 2 has `BTC/USD`, where version 1 and
/// REST have `XBT/USD` (nautechsystems/nautilus_trader, issue 3509). A snapshot of `trade` has the last 50 trades: after a short
/// disconnect nothing is missing.
pub(super) fn subscriptions(symbols: &[Symbol]) -> Vec<String> {
    let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
    let message = |channel: &str| {
        let params = json!({"channel": channel, "symbol": names, "snapshot": true});
        json!({"method": "subscribe", "params": params}).to_string()
    };
    CHANNELS.map(message).into()
}

/// A frame of a channel, or the answer to a request.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Frame<'a> {
    channel: Option<&'a str>,
    /// Its items; their fields depend on the channel.
    #[serde(borrow)]
    data: Option<Vec<&'a RawValue>>,
    method: Option<&'a str>,
    success: Option<bool>,
    symbol: Option<&'a str>,
    #[serde(borrow)]
    error: Option<Cow<'a, str>>,
}

/// An item of `trade`.
#[derive(Deserialize)]
struct TradeItem<'a> {
    symbol: &'a str,
    #[serde(borrow)]
    qty: Option<&'a RawValue>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    trade_id: u64,
    timestamp: &'a str,
}

/// An item of `ticker`.
#[derive(Deserialize)]
struct TickerItem<'a> {
    symbol: &'a str,
    #[serde(borrow)]
    last: Option<&'a RawValue>,
    #[serde(borrow)]
    volume: Option<&'a RawValue>,
    #[serde(borrow)]
    low: Option<&'a RawValue>,
    #[serde(borrow)]
    high: Option<&'a RawValue>,
    #[serde(borrow)]
    change: Option<&'a RawValue>,
    timestamp: Option<&'a str>,
}

/// Reads the frames of one connection after the other.
#[derive(Debug)]
pub(super) struct FrameReader {
    /// What was requested, by the venue's name. Another one is refused.
    names: HashMap<String, Symbol>,
    figures: Figures,
}

impl FrameReader {
    /// Before anything is known.
    pub(super) fn new(source: Source, symbols: &[Symbol]) -> Self {
        let names = symbols.iter().map(|symbol| (symbol.as_str().to_owned(), *symbol)).collect();
        Self { names, figures: Figures::new(source) }
    }

    /// Reads a frame.
    pub(super) fn parse(&mut self, frame: &[u8], received_at: DateTime<Utc>) -> Result<Received, ParseError> {
        let frame: Frame<'_> = serde_json::from_slice(frame)?;
        let items = frame.data.as_deref().unwrap_or_default();
        match (frame.channel, frame.method) {
            (Some("trade"), _) => Ok(self.trades(items, received_at)),
            (Some("ticker"), _) => {
                for item in items {
                    self.ticker(item, received_at)?;
                }
                Ok(Received::Update)
            }
            (None, Some(_)) if frame.success == Some(false) => Ok(self.refusal(&frame)),
            // `heartbeat`, `status`, `pong`, acknowledgements: the venue also sends them while its data have stopped.
            _ => Ok(Received::Answer),
        }
    }

    fn symbol(&self, name: &str) -> Result<Symbol, ParseError> {
        self.names.get(name).copied().ok_or_else(|| ParseError::not_requested(name))
    }

    /// Trades of a snapshot or an update, the oldest first. What came before is in the log already; one item that cannot be used does not
    /// take the others with it.
    fn trades(&mut self, items: &[&RawValue], received_at: DateTime<Utc>) -> Received {
        let (mut trades, mut errors, mut ticks) = (Vec::new(), Vec::new(), Vec::new());
        for item in items {
            match self.trade(item, received_at) {
                Ok(trade) => trades.push(trade),
                Err(error) => errors.push(error),
            }
        }
        trades.sort_by_key(|(symbol, trade)| (*symbol, trade.id));
        for (symbol, trade) in trades {
            if self.figures.is_known(symbol, trade.id) {
                continue;
            }
            match self.figures.tick(symbol, trade) {
                Ok(tick) => ticks.push(tick),
                Err(error) => errors.push(error),
            }
        }
        if ticks.is_empty() && errors.is_empty() { Received::Update } else { Received::Trades(ticks, errors) }
    }

    fn trade(&self, item: &RawValue, received_at: DateTime<Utc>) -> Result<(Symbol, Trade), ParseError> {
        let item: TradeItem<'_> = serde_json::from_str(item.get())?;
        let trade = Trade {
            id: item.trade_id,
            price: bare_decimal("price", item.price)?,
            size: bare_decimal("qty", item.qty)?,
            timestamp: date_time("timestamp", item.timestamp)?,
            received_at,
        };
        Ok((self.symbol(item.symbol)?, trade))
    }

    fn ticker(&mut self, item: &RawValue, received_at: DateTime<Utc>) -> Result<(), ParseError> {
        let item: TickerItem<'_> = serde_json::from_str(item.get())?;
        let last = bare_decimal("last", item.last)?;
        // Not every version of the channel has a time.
        let time = item.timestamp.map_or(Ok(received_at), |time| date_time("timestamp", time))?;
        let open = last.checked_sub(bare_decimal("change", item.change)?);
        let quoted = Quoted {
            open: open.ok_or(ParseError::Number("change", DecimalError::NotFinite))?,
            high: bare_decimal("high", item.high)?,
            low: bare_decimal("low", item.low)?,
            volume: bare_decimal("volume", item.volume)?,
            // Also the trades of a snapshot.
            counted: Counted::ToTime(time),
        };
        self.figures.quote(self.symbol(item.symbol)?, quoted);
        Ok(())
    }

    /// `{"method":"subscribe","success":false,"error":"Currency pair not supported XYZ/USD","symbol":"XYZ/USD"}`. The other symbols of
    /// the request have acknowledgements of their own.
    fn refusal(&self, frame: &Frame<'_>) -> Received {
        let reason = frame.error.as_deref().unwrap_or("a request was refused").to_owned();
        let mut named = frame.symbol.into_iter().chain(reason.split_whitespace());
        match named.find_map(|name| self.names.get(name)) {
            Some(symbol) => Received::Refused { symbols: vec![(*symbol, reason)], messages: Vec::new() },
            None => Received::Failed(reason),
        }
    }
}

/// An answer of REST: errors come with status 200.
#[derive(Deserialize)]
pub(super) struct Answer<T> {
    #[serde(default)]
    pub(super) error: Vec<String>,
    pub(super) result: Option<T>,
}

/// A pair of `AssetPairs`.
#[derive(Deserialize)]
pub(super) struct AssetPair {
    wsname: Option<String>,
}

/// The names that REST has for pairs, by their names here.
#[derive(Debug)]
pub(super) struct Pairs(HashMap<String, String>);

impl Pairs {
    /// From `AssetPairs`, whose keys REST takes as `pair` (`XXBTZUSD`). Their `wsname` has base and quote (`XBT/USD`), with two currencies
    /// under names of the venue's own: `XBT` is `BTC`, `XDG` is `DOGE`.
    pub(super) fn new(pairs: BTreeMap<String, AssetPair>) -> Self {
        let currency = |name: &str| match name {
            "XBT" => "BTC".to_owned(),
            "XDG" => "DOGE".to_owned(),
            name => name.to_owned(),
        };
        let name = |pair: &AssetPair| {
            let (base, quote) = pair.wsname.as_deref()?.split_once('/')?;
            Some(format!("{}/{}", currency(base), currency(quote)))
        };
        Self(pairs.into_iter().filter_map(|(key, pair)| Some((name(&pair)?, key))).collect())
    }

    pub(super) fn get(&self, symbol: Symbol) -> Option<&str> {
        self.0.get(symbol.as_str()).map(String::as_str)
    }

    /// Those of the symbols that are not listed, with the reason.
    pub(super) fn not_listed(&self, symbols: &[Symbol]) -> Vec<(Symbol, String)> {
        let is_missing = |symbol: &&Symbol| self.get(**symbol).is_none();
        symbols.iter().filter(is_missing).map(|symbol| (*symbol, "not listed".to_owned())).collect()
    }
}

/// A pair of `Ticker`: pairs of today's figure and that of 24 hours.
#[derive(Deserialize)]
pub(super) struct Ticker {
    /// The price and the volume of the last trade.
    c: [String; 2],
    v: [String; 2],
    h: [String; 2],
    l: [String; 2],
}

impl fmt::Display for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { c: [last, _], v: [_, volume], h: [_, high], l: [_, low] } = self;
        write!(f, "{last}; 24 h: high {high}, low {low}, volume {volume}")
    }
}

/// A row of `OHLC`: time in seconds, open, high, low, close, volume weighted average, volume, trades.
#[derive(Deserialize)]
pub(super) struct OhlcRow(i64, String, String, String, String, serde::de::IgnoredAny, String, u64);

/// The rows of `OHLC`: below the name of the pair, which need not be the requested one, beside `last`.
pub(super) fn ohlc_rows(result: &BTreeMap<String, Box<RawValue>>) -> Result<Vec<OhlcRow>, ParseError> {
    let rows = result.iter().find(|(name, _)| *name != "last").map(|(_, rows)| rows);
    Ok(serde_json::from_str(rows.ok_or(ParseError::Missing("the pair"))?.get())?)
}

/// The candles of an answer that were over at `now`: the last row is the one in progress. Rows without a trade repeat the last price.
pub(super) fn candles(
    rows: &[OhlcRow],
    of: (Source, Symbol, Interval),
    now: DateTime<Utc>,
) -> Result<Vec<Candle>, ParseError> {
    let width: TimeDelta = of.2.duration();
    let has_ended = |row: &&OhlcRow| moment("time", row.0).is_ok_and(|time| time + width <= now);
    usable(rows.iter().filter(has_ended).map(|OhlcRow(time, open, high, low, close, _, volume, trades)| {
        quoted_candle(of, *time, [open, high, low, close, volume], *trades)
    }))
}
