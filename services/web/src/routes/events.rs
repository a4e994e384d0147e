//! One stream of server-sent events for each live client, usually a browser with all its tabs.
//!
//! No events are queued for a client: when its connection has taken the last batch, it is sent what changed since, so a
//! slow client costs no memory and skips to the latest.
//!
//! Streams are limited. A client past the limit receives what changed since its last event, and the end of the
//! response; browsers then ask again after the `retry` time with the id of the last event they received. A client past the
//! limit thus polls, until a stream is free.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::App;
use crate::{
    live::Live,
    metrics::LiveClientGuard,
    pace::Pace,
    params::Params,
    problem::Problem,
    updates::{Filter, UpdateKind},
};

/// A browser that lost its connection tries again after so long.
const RETRY_MS: u64 = 1_000;
/// A client past the limit asks again after so long.
const POLL_INTERVAL_MS: u64 = 5_000;
/// A comment, and an event that scripts can see, show both ends at least this often that the other is there.
const HEARTBEAT_SECONDS: u64 = 15;
/// Most events handed to a connection at once.
const MAX_BATCH: usize = 64;

/// GET /events?symbols=&kinds=&candle_symbols=
pub(crate) async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Problem> {
    let params = params.allow(&["symbols", "kinds", "candle_symbols"])?;
    let filter = filter(&params)?;
    let last_id = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let guard = app.metrics.connect();
    let updates = app.live.updates();
    let resumed = last_id.and_then(|id| updates.version_of(id));
    let version = resumed.unwrap_or(0);
    let greeting = greeting(updates.boot(), resumed.is_some(), guard.is_some());
    if guard.is_none() {
        app.metrics.polls.add(1);
    }
    let body = if let Some(guard) = guard {
        drop(updates);
        LiveClient::new(&app, filter, version, greeting, guard).into_body()
    } else {
        let frames = std::iter::once(greeting).chain(updates.after(version, &filter, usize::MAX).frames);
        let frames: Vec<_> = frames.map(Ok::<Bytes, Infallible>).collect();
        Body::from_stream(stream::iter(frames))
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Reverse proxies must not collect events.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, body).into_response())
}

/// Candles are those of `candle_symbols`, where it is given: pages show prices of many symbols and candles of one.
fn filter(params: &Params) -> Result<Filter, Problem> {
    let filter = Filter::new(params.symbols()?, &kinds(params)?);
    let candle_symbols = params.symbols_in("candle_symbols")?;
    Ok(if candle_symbols.is_empty() { filter } else { filter.with_candles_of(candle_symbols) })
}

/// `quote,candle,spark,status,alert`; quotes and candles where none are named.
fn kinds(params: &Params) -> Result<Vec<UpdateKind>, Problem> {
    let Some(text) = params.get("kinds") else {
        return Ok(vec![UpdateKind::Quote, UpdateKind::Candle]);
    };
    let known = |name: &str| UpdateKind::ALL.into_iter().find(|kind| kind.as_str() == name.trim());
    let kinds: Option<Vec<UpdateKind>> = text.split(',').map(known).collect();
    kinds.ok_or_else(|| Problem::parameter("kinds", "is a list of quote, candle, spark, status, alert"))
}

/// When to ask again, whether nothing was missed since the last event, and whether the stream is live or ends at once.
fn greeting(boot: &str, is_resumed: bool, is_live: bool) -> Bytes {
    let retry = if is_live { RETRY_MS } else { POLL_INTERVAL_MS };
    let hello = serde_json::json!({ "boot": boot, "resumed": is_resumed, "live": is_live });
    Bytes::from(format!("retry: {retry}\n\nevent: hello\ndata: {hello}\n\n"))
}

/// One live client.
struct LiveClient {
    live: Arc<Live>,
    shutdown: CancellationToken,
    filter: Filter,
    /// It was sent everything up to this version.
    version: u64,
    /// What the connection has not taken yet.
    batch: std::vec::IntoIter<Bytes>,
    heartbeat_due: Instant,
    changes: watch::Receiver<u64>,
    pace: Pace,
    _guard: LiveClientGuard,
}

fn heartbeat_due() -> Instant {
    Instant::now() + Duration::from_secs(HEARTBEAT_SECONDS)
}

impl LiveClient {
    fn new(app: &App, filter: Filter, version: u64, greeting: Bytes, guard: LiveClientGuard) -> Self {
        Self {
            live: Arc::clone(&app.live),
            shutdown: app.runtime.shutdown.clone(),
            filter,
            version,
            batch: vec![greeting].into_iter(),
            heartbeat_due: heartbeat_due(),
            changes: app.live.changes(),
            pace: Pace::default(),
            _guard: guard,
        }
    }

    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut client| async move {
            let frame = client.next().await?;
            Some((Ok::<Bytes, Infallible>(frame), client))
        }))
    }

    /// The next event; waits until there is one. `None` at the shutdown.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.batch.next() {
                return Some(frame);
            }
            let now = Instant::now();
            self.pace.taken(now);
            let not_before = self.pace.not_before(now);
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                () = sleep_until(not_before) => {}
            }
            // Marked as seen before looking, so that a change during the look wakes us again.
            self.changes.borrow_and_update();
            let batch = self.live.updates().after(self.version, &self.filter, MAX_BATCH);
            self.version = batch.version;
            self.batch = batch.frames.into_iter();
            if self.batch.len() > 0 {
                self.pace.sent(Instant::now());
                self.heartbeat_due = heartbeat_due();
                continue;
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                changed = self.changes.changed() => changed.ok()?,
                () = sleep_until(self.heartbeat_due) => {
                    self.heartbeat_due = heartbeat_due();
                    return Some(Bytes::from_static(b": still here\nevent: beat\ndata: {}\n\n"));
                }
            }
        }
    }
}
