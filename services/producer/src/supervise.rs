//! Keeps a feed connected: a connection that ends is made again, with growing delays, and every end is reported.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use chrono::Utc;
use live_store::LiveStore;
use tokio_util::sync::CancellationToken;

use crate::{circuit::KeptCircuit, feed_health::FeedHealth, metrics::FeedMetrics};

/// First wait before connecting again; doubled, with jitter, up to the longest.
const RETRY_MIN_MS: u64 = 500;
const RETRY_MAX_MS: u64 = 30_000;
/// Tries of one request for history; with the longest delays they take some five minutes.
const MAX_TRIES: u32 = 15;
/// A connection that held so long starts the waits from the beginning.
const STABLE_SECONDS: u64 = 60;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    /// The provider: worth another try.
    #[error("{reason}")]
    Provider {
        /// For people.
        reason: String,
        /// The delay that the provider requires.
        retry_after: Option<Duration>,
    },
    /// The request itself, such as a symbol that the provider does not have: another try gives the same.
    #[error("{reason}")]
    Request {
        /// For people.
        reason: String,
    },
    /// Our side: the end of the feed.
    #[error(transparent)]
    Fatal(#[from] anyhow::Error),
}

impl FeedError {
    pub(crate) fn provider(reason: impl Into<String>) -> Self {
        Self::Provider { reason: reason.into(), retry_after: None }
    }
}

/// Delays between tries, doubled with jitter up to the longest.
#[derive(Debug)]
pub(crate) struct Delays(ExponentialBackoff);

impl Delays {
    pub(crate) fn new() -> Self {
        let delays = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(RETRY_MIN_MS))
            .with_max_delay(Duration::from_millis(RETRY_MAX_MS))
            .without_max_times();
        Self(delays.build())
    }

    /// The next one: what the provider requires, if it does, otherwise twice the last one.
    pub(crate) fn after(&mut self, required: Option<Duration>) -> Duration {
        let longest = Duration::from_millis(RETRY_MAX_MS);
        // A `Retry-After` of zero is not obeyed: there is always a pause between two requests. Jitter is added above the longest.
        let required = required.map(|required| required.max(Duration::from_millis(RETRY_MIN_MS)));
        required.unwrap_or_else(|| self.0.next().unwrap_or(longest).min(longest))
    }
}

/// What keeping a feed connected needs to know.
pub(crate) struct Link {
    /// The feed's name.
    pub(crate) feed: &'static str,
    /// Where its circuit is kept.
    pub(crate) store: Option<Arc<dyn LiveStore>>,
    pub(crate) health: FeedHealth,
    pub(crate) metrics: FeedMetrics,
    pub(crate) shutdown: CancellationToken,
}

/// Runs `connect` again and again until the shutdown; `report_down` receives each reason. After several failures in a row the
/// provider is left alone for longer, also across a restart.
pub(crate) async fn keep_alive<F>(
    link: &Link,
    report_down: impl Fn(&str),
    mut connect: impl FnMut() -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<(), FeedError>>,
{
    let Link { feed, store, health, metrics, shutdown } = link;
    let (mut circuit, reason) = KeptCircuit::load(feed, store.clone()).await;
    if let Some(pause) = circuit.pause(Utc::now()) {
        let reason = reason.unwrap_or_default();
        report_down(&format!(
            "{reason}; {} failures in a row, trying again in {:.0} s",
            circuit.failures(),
            pause.as_secs_f64()
        ));
        if shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Ok(());
        }
    }
    let mut delays = Delays::new();
    loop {
        let begun = Instant::now();
        let mut connecting = pin!(connect());
        let ended = loop {
            tokio::select! {
                ended = &mut connecting => break ended,
                () = health.came_up() => circuit.succeeded().await,
                () = shutdown.cancelled() => return Ok(()),
            }
        };
        // A request that is refused, as for an unknown symbol, is no failure of the provider.
        let (reason, retry_after, is_failure) = match ended {
            Ok(()) => ("the provider closed the connection".to_owned(), None, true),
            Err(FeedError::Provider { reason, retry_after }) => (reason, retry_after, true),
            Err(FeedError::Request { reason }) => (reason, None, false),
            Err(FeedError::Fatal(error)) => return Err(error).context("the feed cannot go on"),
        };
        if begun.elapsed() >= Duration::from_secs(STABLE_SECONDS) {
            delays = Delays::new();
        }
        let delay = delays.after(retry_after);
        let pause = if is_failure { circuit.failed(&reason, retry_after, Utc::now()).await } else { None };
        let delay = pause.unwrap_or(delay);
        metrics.errors.add(1);
        metrics.reconnects.add(1);
        report_down(&format!("{reason}; trying again in {:.1} s", delay.as_secs_f64()));
        if shutdown.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
            return Ok(());
        }
    }
}

/// Repeats a request while the provider is away or requires a pause, for some minutes. `None`, which is logged with `what`, where the
/// request itself is refused or no try succeeded.
pub(crate) async fn patiently<T, F>(
    what: impl std::fmt::Display,
    metrics: &FeedMetrics,
    mut request: impl FnMut() -> F,
) -> anyhow::Result<Option<T>>
where
    F: Future<Output = Result<T, FeedError>>,
{
    let mut delays = Delays::new();
    for tries in 1.. {
        let (reason, delay) = match request().await {
            Ok(answer) => return Ok(Some(answer)),
            Err(FeedError::Provider { reason, retry_after }) => (reason, delays.after(retry_after)),
            Err(FeedError::Request { reason }) => {
                metrics.errors.add(1);
                tracing::warn!(%what, reason, "the provider does not have it");
                return Ok(None);
            }
            Err(FeedError::Fatal(error)) => return Err(error),
        };
        metrics.errors.add(1);
        if tries >= MAX_TRIES {
            tracing::warn!(%what, reason, "no answer; given up");
            return Ok(None);
        }
        tracing::warn!(%what, reason, "no answer; trying again in {:.1} s", delay.as_secs_f64());
        tokio::time::sleep(delay).await;
    }
    Ok(None)
}
