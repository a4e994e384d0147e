//! The live store, asked until it answers.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use live_store::{Checkpoint, LiveStore, LiveStoreError, StoredTick, TickOutcome};
use market::Candle;
use service_runtime::{Component, Runtime};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{metrics::Metrics, state::PROCESSOR};

/// Between tries while the store is away; doubled up to the maximum. What waits in the log meanwhile is caught up with
/// only after the next try, so that it shall not be long.
const RETRY_MIN_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 1_000;
/// One that has answered nobody for so long is asked whether it is there.
const SILENT_SECONDS: u64 = 5;
/// A store that is away is tried for so long after the shutdown has begun; less than the process has for its end.
const DRAIN_SECONDS: u64 = 12;

/// Repeats every call while the store is away: until it is back or, once the shutdown has begun, for [`DRAIN_SECONDS`]. What
/// was not stored then was not committed, and is delivered again.
pub(crate) struct PatientStore {
    store: Arc<dyn LiveStore>,
    metrics: Arc<Metrics>,
    health: Component,
    shutdown: CancellationToken,
    drain_until: OnceLock<Instant>,
    /// When it last answered anybody; wakes those who wait to try again.
    answered: watch::Sender<Instant>,
    /// Calls that failed and are being repeated.
    failing: AtomicUsize,
}

/// One of the calls that are being repeated, for as long as it lives.
struct Failing<'a>(&'a AtomicUsize);

impl<'a> Failing<'a> {
    fn begin(calls: &'a AtomicUsize) -> Self {
        calls.fetch_add(1, Ordering::Relaxed);
        Self(calls)
    }
}

impl Drop for Failing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl PatientStore {
    pub(crate) fn new(runtime: &Runtime, store: Arc<dyn LiveStore>, metrics: Arc<Metrics>) -> Self {
        Self {
            store,
            metrics,
            health: runtime.status.component("live store"),
            shutdown: runtime.shutdown.clone(),
            drain_until: OnceLock::new(),
            answered: watch::Sender::new(Instant::now()),
            failing: AtomicUsize::new(0),
        }
    }

    pub(crate) async fn write_ticks(&self, ticks: &[StoredTick]) -> anyhow::Result<Vec<TickOutcome>> {
        self.persist(|| self.store.write_ticks(ticks)).await
    }

    pub(crate) async fn write_progress(
        &self,
        candles: &[Candle],
        checkpoints: &[Checkpoint],
    ) -> anyhow::Result<()> {
        self.persist(|| self.store.write_progress(candles, checkpoints)).await
    }

    pub(crate) async fn reset_checkpoints(&self, checkpoints: &[Checkpoint]) -> anyhow::Result<()> {
        self.persist(|| self.store.reset_checkpoints(checkpoints)).await
    }

    pub(crate) async fn checkpoints(&self) -> anyhow::Result<Vec<Checkpoint>> {
        self.persist(|| self.store.checkpoints(PROCESSOR)).await
    }

    /// Until the shutdown: a process whose store is away shall not be taken for ready on a quiet night.
    pub(crate) async fn keep_in_touch(self: Arc<Self>) -> anyhow::Result<()> {
        loop {
            let silent_at = *self.answered.borrow() + Duration::from_secs(SILENT_SECONDS);
            let ask_if_silent = async {
                tokio::time::sleep_until(silent_at).await;
                // Somebody may have heard from it meanwhile.
                if self.answered.borrow().elapsed() >= Duration::from_secs(SILENT_SECONDS) {
                    self.checkpoints().await?;
                }
                anyhow::Ok(())
            };
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(()),
                asked = ask_if_silent => asked?,
            }
        }
    }

    async fn persist<T, F>(&self, mut call: impl FnMut() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, LiveStoreError>>,
    {
        let mut wait = Duration::from_millis(RETRY_MIN_MS);
        let mut last = None;
        let mut failing = None;
        let mut answered = self.answered.subscribe();
        let over = self.drain_is_over();
        tokio::pin!(over);
        loop {
            let tried = tokio::select! {
                tried = call() => tried,
                () = &mut over => return Err(still_away(last)),
            };
            let error = match tried {
                Ok(value) => {
                    drop(failing.take());
                    // A store that is full, or not the primary, reads on while it refuses every write.
                    if self.failing.load(Ordering::Relaxed) == 0 {
                        self.health.up("answers");
                    }
                    self.answered.send_replace(Instant::now());
                    return Ok(value);
                }
                Err(error) => error,
            };
            self.health.down(&error.to_string());
            if !error.is_transient() {
                return Err(error).context("the live store failed (--store, STORE_URL)");
            }
            last = Some(error);
            failing.get_or_insert_with(|| Failing::begin(&self.failing));
            self.metrics.store_retries.add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Somebody else has heard from it.
                _ = answered.changed() => {}
                () = &mut over => return Err(still_away(last)),
            }
            wait = (wait * 2).min(Duration::from_millis(RETRY_MAX_MS));
        }
    }

    /// Resolves when the time for draining has passed, counted from the first look after the shutdown has begun.
    async fn drain_is_over(&self) {
        self.shutdown.cancelled().await;
        let end = || Instant::now() + Duration::from_secs(DRAIN_SECONDS);
        tokio::time::sleep_until(*self.drain_until.get_or_init(end)).await;
    }
}

/// The end of a consumer whose store did not come back.
fn still_away(last: Option<LiveStoreError>) -> anyhow::Error {
    let reason = last.map_or_else(|| "it does not answer".to_owned(), |error| error.to_string());
    anyhow::anyhow!(
        "the live store (--store, STORE_URL) was away until {DRAIN_SECONDS} s after the shutdown had begun: {reason}; what \
         was read and is not stored is read again at the next start"
    )
}
