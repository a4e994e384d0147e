//! Binance's frames and answers. Pure.
//!
//! Fields as in "WebSocket Streams" and "Market Data endpoints" of Binance's Spot API documentation.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use chrono::{DateTime, Utc};
use market::{Candle, Interval, Source, Symbol, Tick};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::feed::{
    epoch::from_epoch,
    fields::{ParseError, decimal, moment, plain, quoted_candle, quoted_decimal, text, usable},
    figures::{Counted, Figures, Quoted, Trade},
    live::Received,
};

/// What a frame held.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// A trade.
    Tick(Tick),
    /// A minute that is over, as the venue quotes it.
    Candle(Candle),
    /// Data that are not passed on: an update of the day's figures, a minute in progress, a trade that is known.
    Update,
    /// No data: an acknowledgement.
    Nothing,
}

impl From<Frame> for Received {
    fn from(frame: Frame) -> Self {
        match frame {
            Frame::Tick(tick) => Self::Trades(vec![tick], Vec::new()),
            Frame::Candle(candle) => Self::Candle(candle),
            Frame::Update => Self::Update,
            Frame::Nothing => Self::Answer,
        }
    }
}

/// Quote currencies of the venue, today's and former ones ("Exchange Information" of its API); its recordings name pairs without a
/// separator.
pub(crate) const QUOTES: [&str; 50] = [
    "USDT", "FDUSD", "USDC", "TUSD", "BUSD", "USDP", "PAX", "USDS", "USD1", "USDE", "RLUSD", "BFUSD", "XUSD",
    "DAI", "IDRT", "BIDR", "BVND", "EURI", "AEUR", "BKRW", "VAI", "UST", "USD", "EUR", "GBP", "AUD", "TRY",
    "BRL", "RUB", "NGN", "ZAR", "UAH", "ARS", "COP", "CZK", "MXN", "JPY", "PLN", "RON", "IDR", "CHF", "KZT",
    "BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL",
];

/// What a pair of the venue is called here.
#[derive(Clone, Debug)]
pub(crate) enum Names {
    /// What was requested, by the venue's name. Another one is refused.
    Requested(HashMap<String, Symbol>),
    /// In a recording: split at the venue's quote currencies.
    Recorded,
}

impl Names {
    /// Of these symbols.
    pub(crate) fn requested(symbols: &[Symbol]) -> Self {
        Self::Requested(symbols.iter().map(|symbol| (venue_name(*symbol), *symbol)).collect())
    }

    fn symbol(&self, name: &str) -> Result<Symbol, ParseError> {
        match self {
            Self::Requested(symbols) => {
                symbols.get(name).copied().ok_or_else(|| ParseError::not_requested(name))
            }
            Self::Recorded => Ok(Symbol::parse_pair(name, &QUOTES)?),
        }
    }
}

/// `BTC/USDT` is `BTCUSDT` there.
pub(crate) fn venue_name(symbol: Symbol) -> String {
    symbol.as_str().replace('/', "")
}

/// A trade, as frames and data files have it.
#[derive(Clone, Copy)]
pub(crate) struct TradeText<'a> {
    pub(crate) id: u64,
    /// As text, so that no digit is lost.
    pub(crate) price: &'a str,
    pub(crate) size: &'a str,
    /// Of unknown unit.
    pub(crate) time: i64,
    pub(crate) received_at: DateTime<Utc>,
}

/// Reads the frames of one connection: trades carry a price only, the figures of the day come apart from them.
#[derive(Debug)]
pub(crate) struct FrameReader {
    source: Source,
    names: Names,
    figures: Figures,
    /// Symbols whose single trades are in the stream: their aggregates repeat them.
    has_trades: HashSet<Symbol>,
}

/// A frame, read in one pass: a raw one, or one of a combined stream, whose `data` it is. Which fields there are, and of which
/// types, depends on the event `e`; a value is read when its event needs it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields<'a> {
    #[serde(borrow)]
    data: Option<Box<Fields<'a>>>,
    #[serde(borrow)]
    e: Option<&'a RawValue>,
    #[serde(borrow)]
    s: Option<&'a RawValue>,
    #[serde(borrow)]
    t: Option<&'a RawValue>,
    #[serde(rename = "T", borrow)]
    trade_time: Option<&'a RawValue>,
    #[serde(borrow)]
    p: Option<&'a RawValue>,
    #[serde(borrow)]
    q: Option<&'a RawValue>,
    #[serde(borrow)]
    o: Option<&'a RawValue>,
    #[serde(borrow)]
    h: Option<&'a RawValue>,
    #[serde(borrow)]
    l: Option<&'a RawValue>,
    #[serde(borrow)]
    c: Option<&'a RawValue>,
    #[serde(borrow)]
    v: Option<&'a RawValue>,
    /// Of `kline`: the candle; the fields below are in it.
    #[serde(borrow)]
    k: Option<Box<Fields<'a>>>,
    #[serde(borrow)]
    i: Option<&'a RawValue>,
    #[serde(borrow)]
    n: Option<&'a RawValue>,
    #[serde(borrow)]
    x: Option<&'a RawValue>,
}

/// One symbol of `/api/v3/ticker/24hr`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ticker24h {
    symbol: String,
    open_price: String,
    high_price: String,
    low_price: String,
    volume: String,
    last_price: Option<String>,
}

impl fmt::Display for Ticker24h {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { symbol, open_price, high_price, low_price, volume, last_price } = self;
        let last = last_price.as_deref().unwrap_or("no last price");
        write!(
            f,
            "{symbol} {last}; 24 h: open {open_price}, high {high_price}, low {low_price}, volume {volume}"
        )
    }
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

impl FrameReader {
    /// Before anything is known.
    pub(crate) fn new(source: Source, names: Names) -> Self {
        Self { source, names, figures: Figures::new(source), has_trades: HashSet::new() }
    }

    /// Takes in the day's figures of an answer.
    pub(crate) fn seed(&mut self, ticker: &Ticker24h) -> Result<(), ParseError> {
        let quoted = Quoted {
            open: decimal("openPrice", &ticker.open_price)?,
            high: decimal("highPrice", &ticker.high_price)?,
            low: decimal("lowPrice", &ticker.low_price)?,
            volume: decimal("volume", &ticker.volume)?,
            counted: Counted::Received,
        };
        self.figures.quote(self.names.symbol(&ticker.symbol)?, quoted);
        Ok(())
    }

    /// Reads a frame, of a combined stream or a raw one.
    pub(crate) fn parse(&mut self, frame: &[u8], received_at: DateTime<Utc>) -> Result<Frame, ParseError> {
        let whole: Fields<'_> = serde_json::from_slice(frame)?;
        let fields = whole.data.as_deref().unwrap_or(&whole);
        // Some frames (`@bookTicker`) have no event type at all: they hold no price that was paid.
        match fields.e.map(RawValue::get) {
            Some(r#""trade""#) => {
                let tick = self.trade_of(fields, plain("t", fields.t)?, received_at)?;
                self.has_trades.insert(tick.symbol);
                Ok(Frame::Tick(tick))
            }
            Some(r#""aggTrade""#) if self.has_trades.contains(&self.symbol(fields)?) => Ok(Frame::Update),
            // An aggregate has the id of its last trade.
            Some(r#""aggTrade""#) => {
                self.trade_of(fields, plain("l", fields.l)?, received_at).map(Frame::Tick)
            }
            Some(r#""24hrMiniTicker""#) => self.mini_ticker(fields).map(|()| Frame::Update),
            Some(r#""kline""#) => self.kline(fields),
            _ => Ok(Frame::Nothing),
        }
    }

    fn symbol(&self, fields: &Fields<'_>) -> Result<Symbol, ParseError> {
        self.names.symbol(text("s", fields.s)?)
    }

    fn trade_of(
        &mut self,
        fields: &Fields<'_>,
        id: u64,
        received_at: DateTime<Utc>,
    ) -> Result<Tick, ParseError> {
        let (price, size) = (text("p", fields.p)?, text("q", fields.q)?);
        let trade = TradeText { id, price, size, time: plain("T", fields.trade_time)?, received_at };
        self.trade(self.symbol(fields)?, trade)
    }

    /// The tick of a trade, with the day's figures so far.
    pub(crate) fn trade(&mut self, symbol: Symbol, trade: TradeText<'_>) -> Result<Tick, ParseError> {
        let TradeText { id, price, size, time, received_at } = trade;
        let (price, size) = (decimal("p", price)?, decimal("q", size)?);
        let timestamp = moment("T", time)?;
        self.figures.tick(symbol, Trade { id, price, size, timestamp, received_at })
    }

    fn mini_ticker(&mut self, ticker: &Fields<'_>) -> Result<(), ParseError> {
        let quoted = Quoted {
            open: quoted_decimal("o", ticker.o)?,
            high: quoted_decimal("h", ticker.h)?,
            low: quoted_decimal("l", ticker.l)?,
            volume: quoted_decimal("v", ticker.v)?,
            counted: Counted::Received,
        };
        self.figures.quote(self.symbol(ticker)?, quoted);
        Ok(())
    }

    fn kline(&self, frame: &Fields<'_>) -> Result<Frame, ParseError> {
        let kline = frame.k.as_deref().ok_or(ParseError::Missing("k"))?;
        if !plain::<bool>("x", kline.x)? || text("i", kline.i)? != Interval::Minute.as_str() {
            return Ok(Frame::Update);
        }
        let prices = [
            text("o", kline.o)?,
            text("h", kline.h)?,
            text("l", kline.l)?,
            text("c", kline.c)?,
            text("v", kline.v)?,
        ];
        let (open_time, trades) = (plain("t", kline.t)?, plain("n", kline.n)?);
        let of = (self.source, self.symbol(frame)?, Interval::Minute);
        quoted_candle(of, open_time, prices, trades).map(Frame::Candle)
    }
}

/// The candles of `/api/v3/klines` of an interval that were over at `now`.
pub(crate) fn klines(
    rows: &[KlineRow],
    feed: Source,
    symbol: Symbol,
    interval: Interval,
    now: DateTime<Utc>,
) -> Result<Vec<Candle>, ParseError> {
    let closed = rows.iter().filter(|row| from_epoch(row.6).is_some_and(|end| end < now));
    usable(closed.map(|row| {
        quoted_candle((feed, symbol, interval), row.0, [&row.1, &row.2, &row.3, &row.4, &row.5], row.8)
    }))
}
