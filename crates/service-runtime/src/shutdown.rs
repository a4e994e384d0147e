//! The end of a process: the first Ctrl-C or SIGTERM begins the shutdown, the second ends the process at once. All
//! deadlines of a shutdown derive from one budget.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was interrupted (128 + SIGINT), as shells expect it.
const INTERRUPTED: i32 = 130;
/// The exit code of a process whose shutdown took too long.
const OVERDUE: i32 = 1;

/// Longest time from the signal to the end of the process. Container engines kill a process that takes longer than their
/// grace period, which is 30 s in docker-compose.yml.
pub const SHUTDOWN_LIMIT: Duration = Duration::from_secs(25);

// The deadlines in the order in which they pass, all counted from the beginning of the shutdown. Each leaves the next one
// enough time for its own work: leaving a consumer group takes up to 5 s.
const CONNECTIONS_SECONDS: u64 = 3;
const FEEDS_SECONDS: u64 = 5;
const CATCH_UP_SECONDS: u64 = 10;
const STORE_SECONDS: u64 = 14;
const TASKS_SECONDS: u64 = 20;

/// How long each step of a shutdown may take. Every deadline is an absolute time: it is counted from the beginning of the
/// shutdown, not from the beginning of its step, so that slow steps do not add up.
#[derive(Clone)]
pub struct ShutdownBudget {
    shutdown: CancellationToken,
    began: Arc<OnceLock<Instant>>,
}

/// The time at which one step of a shutdown is given up.
#[derive(Clone)]
pub struct ShutdownDeadline {
    budget: ShutdownBudget,
    after: Duration,
}

impl ShutdownBudget {
    /// The budget of the shutdown that begins when `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self::since(shutdown, Arc::default())
    }

    /// The same for a process whose parts are stopped one after another: the first of their tokens sets `began`.
    pub(crate) fn since(shutdown: CancellationToken, began: Arc<OnceLock<Instant>>) -> Self {
        Self { shutdown, began }
    }

    /// Open connections of clients are closed.
    pub fn connections(&self) -> ShutdownDeadline {
        self.deadline(CONNECTIONS_SECONDS)
    }

    /// Feeds have published what they received. Only where readers of the log end after them, in the same process.
    pub fn feeds(&self) -> ShutdownDeadline {
        self.deadline(FEEDS_SECONDS)
    }

    /// Readers have caught up with what the feeds of the same process published.
    pub fn catch_up(&self) -> ShutdownDeadline {
        self.deadline(CATCH_UP_SECONDS)
    }

    /// A store that is unavailable is not tried again.
    pub fn store_drain(&self) -> ShutdownDeadline {
        self.deadline(STORE_SECONDS)
    }

    /// Tasks are aborted.
    pub fn tasks(&self) -> ShutdownDeadline {
        self.deadline(TASKS_SECONDS)
    }

    fn deadline(&self, seconds: u64) -> ShutdownDeadline {
        ShutdownDeadline { budget: self.clone(), after: Duration::from_secs(seconds) }
    }
}

impl ShutdownDeadline {
    /// Resolves when the shutdown has begun and the deadline has passed; never before the shutdown.
    pub async fn passed(self) {
        self.budget.shutdown.cancelled().await;
        let began = *self.budget.began.get_or_init(Instant::now);
        tokio::time::sleep_until(began + self.after).await;
    }

    /// From the beginning of the shutdown to the deadline, in whole seconds, for messages.
    pub fn seconds(&self) -> u64 {
        self.after.as_secs()
    }
}

/// Cancels `shutdown` at the first SIGINT or SIGTERM, and ends the process at the second. Runs in the background until the
/// process ends.
///
/// # Errors
/// When the operating system refuses the handlers.
pub fn cancel_on_signals(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::spawn(async move {
        let mut received = 0;
        loop {
            let signal =
                tokio::select! { signal = interrupt.recv() => signal, signal = terminate.recv() => signal };
            if signal.is_none() {
                return;
            }
            received += 1;
            if received > 1 {
                std::process::exit(INTERRUPTED);
            }
            tracing::info!("stopping: finishing what is in flight; press Ctrl-C again to stop at once");
            shutdown.cancel();
        }
    });
    Ok(())
}

/// Ends the process when it has not ended [`SHUTDOWN_LIMIT`] after the beginning of the shutdown. A thread measures that and
/// no task, because the async runtime may be what does not end: it waits for threads that block.
pub(crate) fn limit(shutdown: CancellationToken) {
    tokio::spawn(async move {
        shutdown.cancelled().await;
        let overdue = || {
            std::thread::sleep(SHUTDOWN_LIMIT);
            tracing::error!(limit = ?SHUTDOWN_LIMIT, "the shutdown took too long; the process ends without it");
            std::process::exit(OVERDUE);
        };
        if let Err(error) = std::thread::Builder::new().name("shutdown-limit".to_owned()).spawn(overdue) {
            tracing::warn!(%error, "no thread to limit the shutdown");
        }
    });
}
