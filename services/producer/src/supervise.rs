//! Keeps a feed connected: a connection that ends is made again, with growing delays, and every end is reported.

use std::time::{Duration, Instant};

use anyhow::Context;
use backon::{BackoffBuilder, ExponentialBuilder};
use service_runtime::Component;
use tokio_util::sync::CancellationToken;

use crate::metrics::FeedMetrics;

/// First wait before connecting again; doubled, with jitter, up to the longest.
const RETRY_MIN_MS: u64 = 500;
const RETRY_MAX_MS: u64 = 30_000;
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
    /// Our side: the end of the feed.
    #[error(transparent)]
    Fatal(#[from] anyhow::Error),
}

impl FeedError {
    pub(crate) fn provider(reason: impl Into<String>) -> Self {
        Self::Provider { reason: reason.into(), retry_after: None }
    }
}

/// Runs `connect` again and again until the shutdown.
pub(crate) async fn keep_alive<F>(
    health: &Component,
    metrics: &FeedMetrics,
    shutdown: &CancellationToken,
    mut connect: impl FnMut() -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = Result<(), FeedError>>,
{
    let waits = ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(RETRY_MIN_MS))
        .with_max_delay(Duration::from_millis(RETRY_MAX_MS))
        .without_max_times();
    let mut wait = waits.build();
    loop {
        let begun = Instant::now();
        let ended = tokio::select! {
            ended = connect() => ended,
            () = shutdown.cancelled() => return Ok(()),
        };
        let (reason, retry_after) = match ended {
            Ok(()) => ("the provider closed the connection".to_owned(), None),
            Err(FeedError::Provider { reason, retry_after }) => (reason, retry_after),
            Err(FeedError::Fatal(error)) => return Err(error).context("the feed cannot go on"),
        };
        if begun.elapsed() >= Duration::from_secs(STABLE_SECONDS) {
            wait = waits.build();
        }
        // A `Retry-After` of zero is not obeyed: there is always a pause between two requests.
        let asked_for = retry_after.map(|wanted| wanted.max(Duration::from_millis(RETRY_MIN_MS)));
        let delay = asked_for.or_else(|| wait.next()).unwrap_or(Duration::from_millis(RETRY_MAX_MS));
        metrics.errors.add(1);
        metrics.reconnects.add(1);
        health.down(&format!("{reason}; trying again in {:.1} s", delay.as_secs_f64()));
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}
