//! The live view, shared by all requests: quotes, the updates made of them, and the pipeline.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::Utc;
use service_runtime::Runtime;
use tokio::sync::watch;

use crate::{
    live_quotes::LiveQuotes,
    pipeline::Pipeline,
    snapshot::Snapshot,
    updates::{Change, Updates},
};

/// Changes become updates this often.
const FLUSH_INTERVAL_MS: u64 = 40;
/// What changes with time alone is looked for this often.
const ADVANCE_INTERVAL_MS: u64 = 1_000;
/// Ticks that were received at a time ahead of the clock are logged at most so often.
const AHEAD_LOG_INTERVAL_SECONDS: u64 = 600;

/// The live view. Each part has a lock of its own; none is held across an await, and none while another is taken.
pub(crate) struct Live {
    quotes: Mutex<LiveQuotes>,
    updates: Mutex<Updates>,
    pipeline: Mutex<Pipeline>,
    version: watch::Sender<u64>,
    /// The last one that was asked for. Whoever waits for it lets other tasks run.
    snapshot: tokio::sync::Mutex<Option<Arc<Snapshot>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is replaced field by field and valid after each: a panic elsewhere must not end the pages.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    /// `boot` names this life of the process.
    pub(crate) fn new(boot: String, quotes: LiveQuotes) -> Self {
        Self {
            quotes: Mutex::new(quotes),
            updates: Mutex::new(Updates::new(boot)),
            pipeline: Mutex::default(),
            version: watch::Sender::new(0),
            snapshot: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn quotes(&self) -> MutexGuard<'_, LiveQuotes> {
        locked(&self.quotes)
    }

    pub(crate) fn updates(&self) -> MutexGuard<'_, Updates> {
        locked(&self.updates)
    }

    pub(crate) fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        locked(&self.pipeline)
    }

    /// All symbols, as of the last published change.
    pub(crate) async fn snapshot(&self) -> Arc<Snapshot> {
        let mut last = self.snapshot.lock().await;
        if let Some(current) = last.as_ref().filter(|last| last.is_current(self.version())) {
            return Arc::clone(current);
        }
        let made = Arc::new(Snapshot::of(self));
        *last = Some(Arc::clone(&made));
        made
    }

    /// Of the last published change.
    pub(crate) fn version(&self) -> u64 {
        *self.version.borrow()
    }

    /// Wakes at every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Encodes the changes and wakes the clients.
    pub(crate) fn publish(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut updates = self.updates();
        for change in changes {
            updates.push(change);
        }
        let version = updates.version();
        drop(updates);
        self.version.send_replace(version);
    }
}

/// Publishes what changed until the shutdown.
pub(crate) async fn flush(live: Arc<Live>, runtime: Runtime) -> anyhow::Result<()> {
    let mut due = tokio::time::interval(Duration::from_millis(FLUSH_INTERVAL_MS));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut advanced = Instant::now();
    let mut ahead_logged: Option<Instant> = None;
    loop {
        tokio::select! {
            () = runtime.shutdown.cancelled() => return Ok(()),
            _ = due.tick() => {}
        }
        let now = Utc::now();
        let mut ahead = None;
        let mut quotes = live.quotes();
        if advanced.elapsed() >= Duration::from_millis(ADVANCE_INTERVAL_MS) {
            advanced = Instant::now();
            quotes.advance(now);
            ahead = quotes.farthest_ahead(now);
        }
        let changes = quotes.take_changes(now);
        drop(quotes);
        let interval = Duration::from_secs(AHEAD_LOG_INTERVAL_SECONDS);
        if let Some(ahead) = ahead.filter(|_| ahead_logged.is_none_or(|at| at.elapsed() >= interval)) {
            ahead_logged = Some(Instant::now());
            tracing::warn!(
                seconds = ahead.num_seconds(),
                "prices are shown that were received at a time ahead of this host's clock: a clock was changed or is wrong (set \
                 it by NTP); they are shown as stale until newer ones arrive"
            );
        }
        live.publish(&changes);
    }
}
