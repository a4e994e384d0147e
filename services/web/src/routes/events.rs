//! One stream of events per tab (server-sent events).
//!
//! Nothing is queued for a tab: when its connection has taken what it was told, it is told what changed since, so a
//! slow tab costs no memory and skips to the latest.

use std::{convert::Infallible, fmt::Write, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use chrono::Utc;
use futures_util::stream;
use market::Symbol;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{App, system};
use crate::{live::Live, metrics::Connection, pace::Pace, params::Params, picture::Kind, problem::Problem};

/// Tabs at once.
const MAX_CONNECTIONS: usize = 512;
/// A browser that lost its connection tries again after so long.
const RETRY_MS: u64 = 1_000;
/// A comment, and an event that scripts can see, at least this often show both ends that the other is there.
const HEARTBEAT_SECONDS: u64 = 15;
/// The figures of the pipeline are told this often.
const SYSTEM_INTERVAL_MS: u64 = 2_000;

/// What one tab is told, and how far it is.
struct Tab {
    app: App,
    symbols: Vec<Symbol>,
    kinds: Vec<Kind>,
    wants_system: bool,
    /// The last version it was told; 0: nothing yet.
    version: u64,
    is_resumed: bool,
    is_greeted: bool,
    system_due: Instant,
    heartbeat_due: Instant,
    changes: watch::Receiver<u64>,
    pace: Pace,
    _connection: Connection,
}

/// GET /events?symbols=&kinds=
pub(crate) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let params = params.allow(&["symbols", "kinds"])?;
    let symbols = params.symbols()?;
    let (kinds, wants_system) = kinds(&params)?;
    let connection = app
        .metrics
        .connect(MAX_CONNECTIONS)
        .ok_or_else(|| Problem::unavailable(format!("all {MAX_CONNECTIONS} event streams are taken")))?;
    let resumed = headers.get("last-event-id").and_then(|id| resumed_version(id, &app.live));
    let tab = Tab {
        symbols,
        kinds,
        wants_system,
        version: resumed.unwrap_or(0),
        is_resumed: resumed.is_some(),
        is_greeted: false,
        system_due: Instant::now(),
        heartbeat_due: heartbeat_due(),
        changes: app.live.changes(),
        pace: Pace::default(),
        app,
        _connection: connection,
    };
    let chunks = stream::unfold(tab, |mut tab| async move {
        let chunk = tab.next().await?;
        Some((Ok::<Bytes, Infallible>(chunk), tab))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Reverse proxies must not gather events.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// `quote,candle,spark,status`; quotes and candles unless said otherwise.
fn kinds(params: &Params) -> Result<(Vec<Kind>, bool), Problem> {
    let Some(text) = params.get("kinds") else {
        return Ok((vec![Kind::Quote, Kind::Candle], false));
    };
    let (mut kinds, mut wants_system) = (Vec::new(), false);
    for name in text.split(',').map(str::trim) {
        match Kind::ALL.into_iter().find(|kind| kind.as_str() == name) {
            Some(kind) if kinds.contains(&kind) => {}
            Some(kind) => kinds.push(kind),
            None if name == "status" => wants_system = true,
            None => {
                return Err(Problem::parameter("kinds", "is a list of quote, candle, spark, status"));
            }
        }
    }
    Ok((kinds, wants_system))
}

/// Where a tab of this very process left off; `None` calls for everything.
fn resumed_version(id: &HeaderValue, live: &Arc<Live>) -> Option<u64> {
    let (boot, version) = id.to_str().ok()?.rsplit_once('-')?;
    let version = version.parse().ok()?;
    (boot == live.boot && version <= live.picture().version()).then_some(version)
}

fn heartbeat_due() -> Instant {
    Instant::now() + Duration::from_secs(HEARTBEAT_SECONDS)
}

impl Tab {
    /// What to tell next; waits until there is something. `None` at the shutdown.
    async fn next(&mut self) -> Option<Bytes> {
        let shutdown = self.app.runtime.shutdown.clone();
        self.pace.asked(Instant::now());
        if !std::mem::replace(&mut self.is_greeted, true) {
            return Some(self.greeting());
        }
        loop {
            let not_before = self.pace.next(Instant::now());
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                () = sleep_until(not_before) => {}
            }
            // Marked as seen before looking, so that a change during the look wakes us again.
            self.changes.borrow_and_update();
            let news = self.news();
            if !news.is_empty() {
                self.pace.told(Instant::now());
                self.heartbeat_due = heartbeat_due();
                return Some(Bytes::from(news));
            }
            let system_due = self.system_due;
            tokio::select! {
                () = shutdown.cancelled() => return None,
                changed = self.changes.changed() => changed.ok()?,
                () = sleep_until(system_due), if self.wants_system => {}
                () = sleep_until(self.heartbeat_due) => {
                    self.heartbeat_due = heartbeat_due();
                    return Some(Bytes::from_static(b": still here\nevent: beat\ndata: {}\n\n"));
                }
            }
        }
    }

    /// How to reconnect, and whether the tab goes on where it was.
    fn greeting(&self) -> Bytes {
        let (boot, resumed) = (&self.app.live.boot, self.is_resumed);
        let hello = serde_json::json!({ "boot": boot, "resumed": resumed });
        Bytes::from(format!("retry: {RETRY_MS}\n\nevent: hello\ndata: {hello}\n\n"))
    }

    fn news(&mut self) -> String {
        let mut text = String::new();
        let boot = &self.app.live.boot;
        if !self.kinds.is_empty() {
            let picture = self.app.live.picture();
            let said = picture.said_since(self.version, &self.symbols, &self.kinds);
            self.version = picture.version();
            drop(picture);
            for said in said {
                let (kind, version, data) = (said.kind.as_str(), said.version, &said.text);
                // Writing to a String cannot fail.
                let _ = write!(text, "id: {boot}-{version}\nevent: {kind}\ndata: {data}\n\n");
            }
        }
        let now = Instant::now();
        if self.wants_system && self.system_due <= now {
            self.system_due = now + Duration::from_millis(SYSTEM_INTERVAL_MS);
            match serde_json::to_string(&system::read(&self.app, Utc::now())) {
                Ok(data) => {
                    let _ = write!(text, "event: status\ndata: {data}\n\n");
                }
                Err(error) => tracing::error!(%error, "the figures could not be encoded"),
            }
        }
        text
    }
}
