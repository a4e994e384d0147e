//! Binance's frames and answers. Pure.
//!
//! Fields as in "WebSocket Streams" and "Market Data endpoints" of Binance's Spot API documentation.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
};

use chrono::{DateTime, NaiveDate, Utc};
use market::{
    Candle, CandleFields, CandleOrigin, CandleSource, DecimalError, Interval, Source, Symbol, Tick,
    TickFields, decimal_to_f64, parse_decimal,
};
use rust_decimal::Decimal;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::feed::epoch::from_epoch;

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

/// Why a frame cannot be used.
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

/// What is known of a symbol's last 24 hours.
#[derive(Clone, Copy, Debug)]
struct Day {
    open: Decimal,
    high: Decimal,
    low: Decimal,
    volume: Decimal,
    /// The day in UTC of figures that were made of trades; none of quoted ones.
    made_of: Option<NaiveDate>,
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
            Self::Requested(symbols) => symbols
                .get(name)
                .copied()
                .ok_or_else(|| ParseError::NotRequested(name.escape_debug().to_string())),
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
pub(crate) struct Trade<'a> {
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
    days: HashMap<Symbol, Day>,
    /// The newest trade of each symbol: one that comes again, as after a reconnect, is in the volume already.
    newest: HashMap<Symbol, u64>,
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

/// A text of a frame; the venue's hold no escapes.
fn text<'a>(field: &'static str, raw: Option<&'a RawValue>) -> Result<&'a str, ParseError> {
    let raw = raw.ok_or(ParseError::Missing(field))?.get();
    let text = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    text.filter(|text| !text.contains('\\')).ok_or(ParseError::WrongType(field))
}

/// A number or a boolean of a frame.
fn plain<T: FromStr>(field: &'static str, raw: Option<&RawValue>) -> Result<T, ParseError> {
    let raw = raw.ok_or(ParseError::Missing(field))?.get();
    raw.parse().map_err(|_| ParseError::WrongType(field))
}

fn number(field: &'static str, raw: Option<&RawValue>) -> Result<Decimal, ParseError> {
    decimal(field, text(field, raw)?)
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

fn decimal(field: &'static str, text: &str) -> Result<Decimal, ParseError> {
    parse_decimal(text).map(|decimal| decimal.normalize()).map_err(|error| ParseError::Number(field, error))
}

fn moment(field: &'static str, number: i64) -> Result<DateTime<Utc>, ParseError> {
    from_epoch(number).ok_or(ParseError::Time(field))
}

impl FrameReader {
    /// Before anything is known.
    pub(crate) fn new(source: Source, names: Names) -> Self {
        Self { source, names, days: HashMap::new(), newest: HashMap::new(), has_trades: HashSet::new() }
    }

    /// Takes in the day's figures of an answer.
    pub(crate) fn seed(&mut self, ticker: &Ticker24h) -> Result<(), ParseError> {
        let day = Day {
            open: decimal("openPrice", &ticker.open_price)?,
            high: decimal("highPrice", &ticker.high_price)?,
            low: decimal("lowPrice", &ticker.low_price)?,
            volume: decimal("volume", &ticker.volume)?,
            made_of: None,
        };
        self.set_day(self.names.symbol(&ticker.symbol)?, day);
        Ok(())
    }

    /// The figures of a pair that has not traded within a day are zeros: its first trade makes them.
    fn set_day(&mut self, symbol: Symbol, day: Day) {
        if day.open > Decimal::ZERO && day.high > Decimal::ZERO && day.low > Decimal::ZERO {
            self.days.insert(symbol, day);
        } else {
            self.days.remove(&symbol);
        }
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
        let trade = Trade { id, price, size, time: plain("T", fields.trade_time)?, received_at };
        self.trade(self.symbol(fields)?, trade)
    }

    /// The tick of a trade, with the day's figures so far.
    pub(crate) fn trade(&mut self, symbol: Symbol, trade: Trade<'_>) -> Result<Tick, ParseError> {
        let Trade { id, price, size, time, received_at } = trade;
        let (price, size) = (decimal("p", price)?, decimal("q", size)?);
        let timestamp = moment("T", time)?;
        let made_of = Some(timestamp.date_naive());
        let first = Day { open: price, high: price, low: price, volume: Decimal::ZERO, made_of };
        // Without quoted figures they are those of the day in UTC.
        let known =
            self.days.get(&symbol).copied().filter(|day| day.made_of.is_none() || day.made_of == made_of);
        let mut day = known.unwrap_or(first);
        day.high = day.high.max(price);
        day.low = day.low.min(price);
        // Until the next quote of the day's volume this trade is known to be in it.
        if self.newest.get(&symbol).is_none_or(|newest| id > *newest) {
            day.volume =
                day.volume.checked_add(size).ok_or(ParseError::Number("q", DecimalError::NotFinite))?;
        }
        let tick = Tick::new(TickFields {
            symbol,
            timestamp,
            price,
            volume: day.volume,
            open: day.open,
            high: day.high,
            low: day.low,
            size: Some(size),
            change_percent: change_percent(day.open, price),
            source: self.source,
            received_at,
            seq: id,
        })?;
        // Only now: a trade that was refused leaves no trace in the day's figures.
        self.days.insert(symbol, day);
        let newest = self.newest.entry(symbol).or_default();
        *newest = id.max(*newest);
        Ok(tick)
    }

    fn mini_ticker(&mut self, ticker: &Fields<'_>) -> Result<(), ParseError> {
        let day = Day {
            open: number("o", ticker.o)?,
            high: number("h", ticker.h)?,
            low: number("l", ticker.l)?,
            volume: number("v", ticker.v)?,
            made_of: None,
        };
        self.set_day(self.symbol(ticker)?, day);
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
        candle(self.source, self.symbol(frame)?, Interval::Minute, open_time, prices, trades)
            .map(Frame::Candle)
    }
}

/// In percent, to four digits as the venue quotes it; 0 where there is nothing to compare with.
fn change_percent(open: Decimal, price: Decimal) -> f64 {
    let open = decimal_to_f64(open);
    if open > 0.0 { ((decimal_to_f64(price) / open - 1.0) * 1e6).round() / 1e4 } else { 0.0 }
}

fn candle(
    feed: Source,
    symbol: Symbol,
    interval: Interval,
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

/// The candles of `/api/v3/klines` of an interval that were over at `now`.
pub(crate) fn klines(
    rows: &[KlineRow],
    feed: Source,
    symbol: Symbol,
    interval: Interval,
    now: DateTime<Utc>,
) -> Result<Vec<Candle>, ParseError> {
    let closed = rows.iter().filter(|row| from_epoch(row.6).is_some_and(|end| end < now));
    let prices = |row: &'_ KlineRow| {
        candle(feed, symbol, interval, row.0, [&row.1, &row.2, &row.3, &row.4, &row.5], row.8)
    };
    // One row that cannot be used does not take the others with it.
    let (mut candles, mut refused) = (Vec::new(), None);
    for read in closed.map(prices) {
        match read {
            Ok(candle) => candles.push(candle),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) if candles.is_empty() => Err(error),
        _ => Ok(candles),
    }
}
