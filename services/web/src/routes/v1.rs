//! JSON: symbols, quotes, ticks, candles; and latencies that browsers measured.

use std::time::Instant;

use axum::{
    Extension, Json,
    body::Bytes,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, StoredTick, TickQuery, best_candles};
use market::{AssetClass, Candle, Interval, Source, Symbol, decimal_to_f64, rollup};
use metrics::counter;
use serde::Serialize;
use service_runtime::ClientAddress;

use super::App;
use crate::{
    candle_json::CandleJson, live_quotes::SymbolView, params::Params, problem::Problem, quote::class_name,
    trading_hours,
};

/// Rows where no limit is given, and at most.
const DEFAULT_LIMIT: usize = 500;
const MAX_LIMIT: usize = 5_000;
/// Minutes of the widest candle, a day; one on which clocks are set back has an hour more.
const MINUTES_OF_A_DAY: usize = 1_500;
/// Most measurements in one request.
const MAX_MEASUREMENTS: usize = 500;
/// Largest latency that is accepted; above it a clock or a suspended tab was measured.
const MAX_LATENCY_MS: f64 = 60_000.0;

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
    let snapshot = app.live.snapshot().await;
    let is_open = |class| market::is_open(class, snapshot.at);
    let (stocks_open, crypto_open) = (is_open(AssetClass::Stock), is_open(AssetClass::Crypto));
    let symbol = |view: &SymbolView| SymbolJson {
        symbol: view.symbol,
        asset_class: class_name(view.symbol.asset_class()),
        source: view.quote.as_ref().map(|quote| quote.source),
        simulated: view.quote.as_ref().is_some_and(|quote| quote.simulated),
        market_open: match view.symbol.asset_class() {
            AssetClass::Stock => stocks_open,
            AssetClass::Crypto => crypto_open,
        },
        last_tick_at: view.quote.as_ref().map(|quote| quote.timestamp),
    };
    Ok(Json(Symbols { symbols: snapshot.views().iter().map(symbol).collect() }))
}

/// GET /v1/quotes?symbols=
pub(crate) async fn quotes(State(app): State<App>, params: Params) -> Result<Response, Problem> {
    let requested = params.allow(&["symbols"])?.symbols()?;
    let snapshot = app.live.snapshot().await;
    if !requested.is_empty() {
        return Ok(Json(snapshot.quotes_of(&requested)).into_response());
    }
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((json, snapshot.quotes_json().await?).into_response())
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

/// The candles of the store, then the candle in progress; the newest `limit` of the range.
pub(super) async fn read_candles(app: &App, query: &CandleQuery) -> Result<Vec<Candle>, Problem> {
    let mut candles = best_candles(&*app.store, query, Utc::now()).await?;
    if let Some(open) = open_candle(app, query.symbol, query.interval).await?
        && (query.from..query.to).contains(&open.time)
    {
        let is_closed = candles.iter().any(|candle| candle.time == open.time && candle.is_final);
        let is_behind = candles.last().is_some_and(|last| last.time > open.time);
        if !is_closed && !is_behind {
            candles.retain(|candle| candle.time != open.time);
            candles.push(open);
        }
    }
    let too_many = candles.len().saturating_sub(query.limit);
    candles.drain(..too_many);
    Ok(candles)
}

/// The minute in progress; for wider intervals, merged with the minutes already closed.
async fn open_candle(app: &App, symbol: Symbol, interval: Interval) -> Result<Option<Candle>, Problem> {
    let Some(minute) = app.live.quotes().open_candle(symbol) else {
        return Ok(None);
    };
    if interval == Interval::Minute {
        return Ok(Some(minute));
    }
    let query = CandleQuery {
        symbol,
        interval: Interval::Minute,
        from: trading_hours::candle_start(symbol.asset_class(), interval, minute.time),
        to: minute.time,
        limit: MINUTES_OF_A_DAY,
    };
    let mut minutes = best_candles(&*app.store, &query, Utc::now()).await?;
    minutes.push(minute);
    Ok(rollup(&minutes, interval, Utc::now()).pop())
}

#[derive(Serialize)]
pub(crate) struct Time {
    time: DateTime<Utc>,
}

/// GET /v1/time: for browsers that measure how far their clock differs.
pub(crate) async fn time() -> Json<Time> {
    Json(Time { time: Utc::now() })
}

/// POST /v1/screen-latency: milliseconds from `received_at` to the frame that showed the price.
pub(crate) async fn screen_latency(
    State(app): State<App>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let measured: Vec<f64> = serde_json::from_slice(&body)
        .map_err(|error| Problem::body(format!("must be a JSON list of milliseconds ({error})")))?;
    if measured.len() > MAX_MEASUREMENTS {
        return Err(Problem::body(format!("at most {MAX_MEASUREMENTS} measurements at once")));
    }
    if let Some(wrong) = measured.iter().find(|ms| !(-MAX_LATENCY_MS..=MAX_LATENCY_MS).contains(*ms)) {
        return Err(Problem::body(format!("{wrong} ms is not within {MAX_LATENCY_MS} ms of now")));
    }
    if !app.latency_limit.admit(address, measured.len() as u32, Instant::now()) {
        counter!("tapedeck_web_latency_refused_total").increment(1);
        return Err(Problem::too_many("more measurements from one address, or from all, than are accepted"));
    }
    let latencies = measured.iter().map(|ms| TimeDelta::microseconds((ms * 1_000.0) as i64));
    app.metrics.feed_screen.record_live(latencies);
    Ok(StatusCode::NO_CONTENT)
}
