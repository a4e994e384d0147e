//! JSON: symbols, quotes, ticks, candles; and what browsers measured.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
};
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, StoredTick, TickQuery, best_candles};
use market::{Candle, Interval, Source, Symbol, decimal_to_f64, rollup};
use serde::Serialize;

use super::App;
use crate::{
    bar::Bar,
    params::Params,
    picture::View,
    problem::Problem,
    quote::{Quote, class_name},
    session,
};

/// Rows unless asked otherwise, and at most.
const DEFAULT_LIMIT: usize = 500;
const MAX_LIMIT: usize = 5_000;
/// The widest bar holds so many minutes; a day on which clocks go back has an hour more.
const MINUTES_OF_A_DAY: usize = 1_500;
/// Measurements that one message of a browser may carry.
const MAX_MEASUREMENTS: usize = 500;
/// Largest latency that is believed; above it a clock or a sleeping tab was measured.
const MAX_LATENCY_MS: f64 = 60_000.0;
/// Messages with measurements that are taken per second, from all browsers.
const MAX_MESSAGES_PER_SECOND: u32 = 100;

#[derive(Serialize)]
pub(crate) struct Symbols {
    symbols: Vec<Known>,
}

/// A symbol; without source before its first price.
#[derive(Serialize)]
struct Known {
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
    let known = |view: View| Known {
        symbol: view.symbol,
        asset_class: class_name(view.symbol.asset_class()),
        source: view.quote.as_ref().map(|quote| quote.source),
        simulated: view.quote.as_ref().is_some_and(|quote| quote.simulated),
        market_open: session::is_open(view.symbol.asset_class(), now),
        last_tick_at: view.quote.as_ref().map(|quote| quote.timestamp),
    };
    let views = app.live.picture().views(now);
    Ok(Json(Symbols { symbols: views.into_iter().map(known).collect() }))
}

#[derive(Serialize)]
pub(crate) struct Quotes {
    quotes: Vec<Quote>,
    /// Asked for, but no price of it is known.
    unknown: Vec<Symbol>,
}

/// GET /v1/quotes?symbols=
pub(crate) async fn quotes(State(app): State<App>, params: Params) -> Result<Json<Quotes>, Problem> {
    let asked = params.allow(&["symbols"])?.symbols()?;
    let now = Utc::now();
    let picture = app.live.picture();
    if asked.is_empty() {
        let quotes = picture.views(now).into_iter().filter_map(|view| view.quote).collect();
        return Ok(Json(Quotes { quotes, unknown: Vec::new() }));
    }
    let mut answer = Quotes { quotes: Vec::new(), unknown: Vec::new() };
    for symbol in asked {
        match picture.view(symbol, now).and_then(|view| view.quote) {
            Some(quote) => answer.quotes.push(quote),
            None => answer.unknown.push(symbol),
        }
    }
    Ok(Json(answer))
}

#[derive(Serialize)]
pub(crate) struct Ticks {
    ticks: Vec<TickRow>,
    next_cursor: Option<String>,
}

/// The wire fields, and what the consumer added.
#[derive(Serialize)]
struct TickRow {
    symbol: Symbol,
    timestamp: DateTime<Utc>,
    price: f64,
    volume: f64,
    open: f64,
    high: f64,
    low: f64,
    change_percent: f64,
    source: Source,
    received_at: DateTime<Utc>,
    seq: u64,
    price_change_pct: f64,
    processed_at: DateTime<Utc>,
    partition: i32,
    offset: u64,
}

impl From<&StoredTick> for TickRow {
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
    Ok(Json(Ticks { ticks: page.ticks.iter().map(TickRow::from).collect(), next_cursor: page.next_cursor }))
}

#[derive(Serialize)]
pub(crate) struct Chart {
    symbol: Symbol,
    interval: Interval,
    candles: Vec<Bar>,
}

/// GET /v1/candles?symbol=&interval=&from=&to=&limit=
pub(crate) async fn candles(State(app): State<App>, params: Params) -> Result<Json<Chart>, Problem> {
    let params = params.allow(&["symbol", "interval", "from", "to", "limit"])?;
    let symbol = params.symbol()?;
    let interval = params.parsed("interval")?.unwrap_or(Interval::Minute);
    let (from, to) = params.range()?;
    let limit = params.limit(DEFAULT_LIMIT, MAX_LIMIT)?;
    let bars = bars(&app, &CandleQuery { symbol, interval, from, to, limit }).await?;
    Ok(Json(Chart { symbol, interval, candles: bars.iter().map(Bar::from).collect() }))
}

/// The bars of the store, and behind them the bar in progress; the newest `limit` of the range.
pub(super) async fn bars(app: &App, query: &CandleQuery) -> Result<Vec<Candle>, Problem> {
    let mut bars = best_candles(&*app.store, query, Utc::now()).await?;
    if let Some(open) = bar_in_progress(app, query.symbol, query.interval).await?
        && (query.from..query.to).contains(&open.time)
    {
        let is_closed = bars.iter().any(|bar| bar.time == open.time && bar.is_final);
        let is_behind = bars.last().is_some_and(|last| last.time > open.time);
        if !is_closed && !is_behind {
            bars.retain(|bar| bar.time != open.time);
            bars.push(open);
        }
    }
    let too_many = bars.len().saturating_sub(query.limit);
    bars.drain(..too_many);
    Ok(bars)
}

/// The minute in progress; for wider bars, merged with the minutes already closed.
async fn bar_in_progress(app: &App, symbol: Symbol, interval: Interval) -> Result<Option<Candle>, Problem> {
    let Some(minute) = app.live.picture().bar_in_progress(symbol) else {
        return Ok(None);
    };
    if interval == Interval::Minute {
        return Ok(Some(minute));
    }
    let query = CandleQuery {
        symbol,
        interval: Interval::Minute,
        from: session::bar_start(symbol.asset_class(), interval, minute.time),
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

/// GET /v1/time: for browsers that measure how far their clock is off.
pub(crate) async fn time() -> Json<Time> {
    Json(Time { time: Utc::now() })
}

/// How many messages with measurements came in the current second.
#[derive(Debug, Default)]
pub(crate) struct LatencyBudget(Mutex<Option<(Instant, u32)>>);

impl LatencyBudget {
    fn take(&self, now: Instant) -> bool {
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
        used < MAX_MESSAGES_PER_SECOND
    }
}

/// POST /v1/screen-latency: milliseconds from `received_at` to the frame that showed the price.
pub(crate) async fn screen_latency(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    if !is_same_origin(&uri, &headers) {
        return Err(Problem::forbidden("only the pages of this host send measurements (Origin)"));
    }
    if !app.latency_budget.take(Instant::now()) {
        return Err(Problem::too_many("more measurements per second than are taken"));
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

/// The `Origin` names the host that was asked.
fn is_same_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).or_else(|| uri.host());
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    matches!((origin, host), (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host))
}
