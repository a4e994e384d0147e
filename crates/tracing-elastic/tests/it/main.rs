//! What becomes of events, on a server whose answers these tests script, and on a real one.

// Clippy's allowance for tests does not cover their helper functions.
#![allow(clippy::unwrap_used, clippy::panic)]

mod accounting;
mod check;
mod documents;
mod own_events;
mod panics;
mod scripted;
mod server;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tracing_elastic::{DeadLetters, ElasticLayer, Limits, Logs, Service, Settings, start};
use tracing_subscriber::{Registry, layer::SubscriberExt};

/// Time after which a condition of a test has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Settings with short waits.
pub(crate) fn settings(url: &str, data_stream: &str) -> Settings {
    let mut settings = Settings::new(url.to_owned(), data_stream, Service::new("shop", "1.4.0"));
    settings.service.host = Some("till-3".to_owned());
    settings.limits =
        Limits { flush_interval_ms: 20, retry_min_ms: 10, retry_max_ms: 100, ..Limits::default() };
    settings
}

/// The same with a dead-letter file.
pub(crate) fn with_dead_letters(mut settings: Settings, path: &Path) -> Settings {
    settings.dead_letters = Some(DeadLetters { path: path.to_owned(), max_bytes: 1 << 20 });
    settings
}

/// Runs `log` with a layer of these settings, which is not shut down yet.
pub(crate) fn logging(settings: Settings, log: impl FnOnce(&Logs)) -> Logs {
    let (layer, logs) = start(settings, None).unwrap();
    tracing::subscriber::with_default(subscriber(layer), || log(&logs));
    logs
}

pub(crate) fn subscriber(layer: ElasticLayer) -> impl tracing::Subscriber + Send + Sync {
    Registry::default().with(layer)
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "timeout after {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5)); // up to the deadline
    }
}
