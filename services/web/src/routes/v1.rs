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
use market::{AssetClass, Candle, Interval, Source, Symbol, decimal_to_f64};
use metrics::counter;
use serde::Serialize;
use service_runtime::ClientAddress;
use topics::MAX_SKEW_SECONDS;

use super::App;
use crate::{
    candle_json::CandleJson, live_quotes::SymbolView, params::Params, problem::Problem, quote::class_name,
};

/// Rows where no limit is given, and at most.
pub(super) const DEFAULT_LIMIT: usize = 500;
pub(super) const MAX_LIMIT: usize = 5_000;
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
