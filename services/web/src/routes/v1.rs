//! JSON: symbols, quotes, ticks, candles; and latencies that browsers measured.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{Json, body::Bytes, extract::State, http::StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, StoredTick, TickQuery, best_candles};
use market::{Candle, Interval, Source, Symbol, decimal_to_f64};
use serde::Serialize;
use topics::MAX_SKEW_SECONDS;

use super::App;
use crate::{
    candle_json::CandleJson,
    params::Params,
    problem::Problem,
    quote::{Quote, class_name},
};

/// Rows where no limit is given, and at most.
const DEFAULT_LIMIT: usize = 500;
const MAX_LIMIT: usize = 5_000;
/// Most measurements in one request.
const MAX_MEASUREMENTS: usize = 500;
/// Largest latency that is accepted; above it a clock or a suspended tab was measured.
const MAX_LATENCY_MS: f64 = 60_000.0;
/// Most requests with measurements per second, from all browsers.
const MAX_REQUESTS_PER_SECOND: u32 = 100;

#[derive(Serialize)]
pub(crate) struct Symbols {
    symbols: Vec<SymbolJson>,
}

/// A symbol; its source is null before its first price.
#[derive(Serialize)]
struct SymbolJson {
    symbol: Symbol,
    asset_class: &'static str,
    source: Option<Source>,
    simulated: bool,
    market_open: bool,
    /// When its latest tick happened.
    last_tick_at: Option<DateTime<Utc>>,
}

/// GET /v1/symbols
pub(crate) async fn symbols(State(app): State<App>, params: Params) -> Result<Json<Symbols>, Problem> {
    params.allow(&[])?;
    let now = Utc::now();
    let symbol = |(symbol, quote): (Symbol, Option<Quote>)| SymbolJson {
        symbol,
        asset_class: class_name(symbol.asset_class()),
        source: quote.as_ref().map(|quote| quote.source),
        simulated: quote.as_ref().is_some_and(|quote| quote.simulated),
        market_open: market::is_open(symbol.asset_class(), now),
        last_tick_at: quote.as_ref().map(|quote| quote.timestamp),
    };
    Ok(Json(Symbols { symbols: app.live.quotes().quotes(now).map(symbol).collect() }))
}

#[derive(Serialize)]
pub(crate) struct Quotes {
    quotes: Vec<Quote>,
    /// Requested, but without a price.
    unknown: Vec<Symbol>,
}

/// GET /v1/quotes?symbols=
pub(crate) async fn quotes(State(app): State<App>, params: Params) -> Result<Json<Quotes>, Problem> {
    let requested = params.allow(&["symbols"])?.symbols()?;
    let now = Utc::now();
    let live = app.live.quotes();
    if requested.is_empty() {
        let quotes = live.quotes(now).filter_map(|(_, quote)| quote).collect();
        return Ok(Json(Quotes { quotes, unknown: Vec::new() }));
    }
    let mut answer = Quotes { quotes: Vec::new(), unknown: Vec::new() };
    for symbol in requested {
        match live.quote(symbol, now) {
            Some(quote) => answer.quotes.push(quote),
            None => answer.unknown.push(symbol),
        }
    }
    Ok(Json(answer))
}

#[derive(Serialize)]
pub(crate) struct Ticks {
    ticks: Vec<TickJson>,
    next_cursor: Option<String>,
}

/// The fields of the topic, and what the consumer added.
#[derive(Serialize)]
struct TickJson {
    symbol: Symbol,
    timestamp: DateTime<Utc>,
    price: f64,
    volume: f64,
    open: f64,
    high: f64,
    low: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<f64>,
    change_percent: f64,
    source: Source,
    received_at: DateTime<Utc>,
    seq: u64,
    price_change_pct: f64,
    processed_at: DateTime<Utc>,
    partition: i32,
    offset: u64,
}

impl From<&StoredTick> for TickJson {
    fn from(stored: &StoredTick) -> Self {
        let tick = &stored.tick;
        Self {
            symbol: tick.symbol,
            timestamp: tick.timestamp,
            price: decimal_to_f64(tick.price),
            volume: decimal_to_f64(tick.volume),
            open: decimal_to_f64(tick.open),
            high: decimal_to_f64(tick.high),
            low: decimal_to_f64(tick.low),
            size: tick.size.map(decimal_to_f64),
            change_percent: tick.change_percent,
            source: tick.source,
            received_at: tick.received_at,
            seq: tick.seq,
            price_change_pct: tick.price_change_pct(),
            processed_at: stored.processed_at,
            partition: stored.partition,
            offset: stored.offset,
        }
    }
}

/// GET /v1/ticks?symbol=&from=&to=&limit=&cursor=
pub(crate) async fn ticks(State(app): State<App>, params: Params) -> Result<Json<Ticks>, Problem> {
    let params = params.allow(&["symbol", "from", "to", "limit", "cursor"])?;
    let symbol = params.symbol()?;
    let (from, to) = params.range()?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let cursor = params.get("cursor").map(str::to_owned);
    let page = app.store.ticks(&TickQuery { symbol, from, to, limit, cursor }).await?;
    Ok(Json(Ticks { ticks: page.ticks.iter().map(TickJson::from).collect(), next_cursor: page.next_cursor }))
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the field is the name in the JSON")]
pub(crate) struct Candles {
    symbol: Symbol,
    interval: Interval,
    candles: Vec<CandleJson>,
}

/// GET /v1/candles?symbol=&interval=&from=&to=&limit=
pub(crate) async fn candles(State(app): State<App>, params: Params) -> Result<Json<Candles>, Problem> {
    let params = params.allow(&["symbol", "interval", "from", "to", "limit"])?;
    let symbol = params.symbol()?;
    let interval = params.parsed("interval")?.unwrap_or(Interval::Minute);
    let (from, to) = params.range()?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let candles = read_candles(&app, &CandleQuery { symbol, interval, from, to, limit }).await?;
    Ok(Json(Candles { symbol, interval, candles: candles.iter().map(CandleJson::from).collect() }))
}

/// The newest `limit` of the range, those in progress included. Candles ahead of the clock are left out: a clock that was fast
/// made them, and the candles of now would be drawn before them.
pub(super) async fn read_candles(app: &App, query: &CandleQuery) -> Result<Vec<Candle>, Problem> {
    let now = Utc::now();
    // Before the store is read: a candle that is stored meanwhile is in both, and then the stored one is preferred.
    let live = app.live.quotes().unstored_candles(query.symbol);
    let reachable = now + TimeDelta::seconds(MAX_SKEW_SECONDS);
    let query = CandleQuery { to: query.to.min(reachable), ..query.clone() };
    Ok(best_candles(&*app.store, &query, &live, now).await?)
}

#[derive(Serialize)]
pub(crate) struct Time {
    time: DateTime<Utc>,
}

/// GET /v1/time: for browsers that measure how far their clock differs.
pub(crate) async fn time() -> Json<Time> {
    Json(Time { time: Utc::now() })
}

/// Limits the requests with measurements: their number in the current second.
#[derive(Debug, Default)]
pub(crate) struct LatencyLimit(Mutex<Option<(Instant, u32)>>);

impl LatencyLimit {
    /// Counts one more; `false` where it is past the limit.
    fn admits(&self, now: Instant) -> bool {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let used = match *second {
            Some((begun, used)) if now - begun < Duration::from_secs(1) => {
                *second = Some((begun, used + 1));
                used
            }
            _ => {
                *second = Some((now, 1));
                0
            }
        };
        used < MAX_REQUESTS_PER_SECOND
    }
}

/// POST /v1/screen-latency: milliseconds from `received_at` to the frame that showed the price.
pub(crate) async fn screen_latency(State(app): State<App>, body: Bytes) -> Result<StatusCode, Problem> {
    if !app.latency_limit.admits(Instant::now()) {
        return Err(Problem::too_many("more requests with measurements per second than are accepted"));
    }
    let measured: Vec<f64> = serde_json::from_slice(&body)
        .map_err(|error| Problem::body(format!("must be a JSON list of milliseconds ({error})")))?;
    if measured.len() > MAX_MEASUREMENTS {
        return Err(Problem::body(format!("at most {MAX_MEASUREMENTS} measurements at once")));
    }
    if let Some(wrong) = measured.iter().find(|ms| !(-MAX_LATENCY_MS..=MAX_LATENCY_MS).contains(*ms)) {
        return Err(Problem::body(format!("{wrong} ms is not within {MAX_LATENCY_MS} ms of now")));
    }
    let latencies = measured.iter().map(|ms| TimeDelta::microseconds((ms * 1_000.0) as i64));
    app.metrics.feed_screen.record_live(latencies);
    Ok(StatusCode::NO_CONTENT)
}
