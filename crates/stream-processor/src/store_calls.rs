//! Calls to the live store, repeated until they succeed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use live_store::{Checkpoint, CheckpointStore};
use service_runtime::{Component, Meter, Runtime, ShutdownDeadline};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use topics::names::component;

use crate::processor::ProcessorError;

/// Between two tries while the store is unavailable; doubled up to the maximum. The backlog of the meantime waits for the next
/// try, so that it is not long.
const RETRY_MIN_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 1_000;
/// A store that has answered no call for so long is queried, to know whether it is available.
const SILENT_SECONDS: u64 = 5;

/// The live store of one service, shared by its processors. A call that fails is repeated while the store is unavailable: until
/// it answers or, once the shutdown has begun, until [`ShutdownBudget::store_drain`](service_runtime::ShutdownBudget::store_drain).
/// What was not stored then was not committed, and is delivered again.
pub struct StoreCalls {
    store: Arc<dyn CheckpointStore>,
    retries: Arc<Meter>,
    health: Component,
    shutdown: CancellationToken,
    drain: ShutdownDeadline,
    /// When it last answered a call; wakes the calls that wait for their next try.
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

impl StoreCalls {
    /// Calls to `store`, with health and metrics in `runtime`.
    pub fn new(store: Arc<dyn CheckpointStore>, runtime: &Runtime) -> Self {
        Self {
            store,
            retries: runtime.status.report(Arc::new(Meter::new("tapedeck_store_retries_total"))),
            health: runtime.status.component(component::LIVE_STORE),
            shutdown: runtime.shutdown.clone(),
            drain: runtime.shutdown_budget().store_drain(),
            answered: watch::Sender::new(Instant::now()),
            failing: AtomicUsize::new(0),
        }
    }

    pub(crate) async fn claim(
        &self,
        processor: &str,
        partitions: &[(Arc<str>, i32)],
    ) -> anyhow::Result<Vec<Checkpoint>> {
        self.repeat(|| async { Ok(self.store.claim(processor, partitions).await?) }).await
    }

    pub(crate) async fn save(&self, checkpoints: &[Checkpoint]) -> anyhow::Result<Vec<usize>> {
        self.repeat(|| async { Ok(self.store.save_checkpoints(checkpoints).await?) }).await
    }

    pub(crate) async fn checkpoints(&self, processor: &str) -> anyhow::Result<Vec<Checkpoint>> {
        self.repeat(|| async { Ok(self.store.checkpoints(processor).await?) }).await
    }

    /// Queries a silent store until the shutdown, so that a process whose store is unavailable is not ready on a quiet night.
    ///
    /// # Errors
    /// A store that fails permanently.
    pub async fn watch(self: Arc<Self>, processor: &str) -> anyhow::Result<()> {
        loop {
            let silent_at = *self.answered.borrow() + Duration::from_secs(SILENT_SECONDS);
            let query_if_silent = async {
                tokio::time::sleep_until(silent_at).await;
                // It may have answered another call meanwhile.
                if self.answered.borrow().elapsed() >= Duration::from_secs(SILENT_SECONDS) {
                    self.checkpoints(processor).await?;
                }
                anyhow::Ok(())
            };
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(()),
                queried = query_if_silent => queried?,
            }
        }
    }

    /// Repeats a call while it is [`ProcessorError::Unavailable`].
    pub(crate) async fn repeat<T, F>(&self, mut call: impl FnMut() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, ProcessorError>>,
    {
        let mut wait = Duration::from_millis(RETRY_MIN_MS);
        let mut last = None;
        let mut failing = None;
        let mut answered = self.answered.subscribe();
        let over = self.drain.clone().passed();
        tokio::pin!(over);
        loop {
            let tried = tokio::select! {
                tried = call() => tried,
                () = &mut over => return Err(self.unavailable_to_the_end(last)),
            };
            match tried {
                Ok(value) => {
                    drop(failing.take());
                    // A store that is full, or not the primary, answers reads while it refuses every write.
                    if self.failing.load(Ordering::Relaxed) == 0 {
                        self.health.up("answers");
                    }
                    self.answered.send_replace(Instant::now());
                    return Ok(value);
                }
                Err(ProcessorError::Failed(error)) => {
                    self.health.down(&format!("{error:#}"));
                    return Err(error);
                }
                Err(ProcessorError::Unavailable(reason)) => {
                    self.health.down(&reason);
                    last = Some(reason);
                }
            }
            failing.get_or_insert_with(|| Failing::begin(&self.failing));
            self.retries.add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Another call was answered.
                _ = answered.changed() => {}
                () = &mut over => return Err(self.unavailable_to_the_end(last)),
            }
            wait = (wait * 2).min(Duration::from_millis(RETRY_MAX_MS));
        }
    }

    fn unavailable_to_the_end(&self, last: Option<String>) -> anyhow::Error {
        let (seconds, reason) =
            (self.drain.seconds(), last.unwrap_or_else(|| "it does not respond".to_owned()));
        anyhow::anyhow!(
            "the live store (--store, STORE_URL) or the event log that results are published to (--log, LOG_URL) was \
             unavailable until {seconds} s after the shutdown had begun: {reason}; what was read and is not stored is read again \
             at the next start"
        )
    }
}
