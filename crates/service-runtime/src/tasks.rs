//! Supervision: an essential task that ends stops the process and is named; a part that a service can do without is
//! restarted.

use std::{any::Any, borrow::Cow, collections::HashMap, pin::pin, time::Duration};

use anyhow::{Context, anyhow, bail};
use backon::{BackoffBuilder, ExponentialBuilder};
use metrics::counter;
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use crate::{Component, ShutdownBudget};

/// First wait before a part is started again; doubled, with jitter, up to the longest.
const RESTART_MIN_MS: u64 = 1_000;
/// See [`RESTART_MIN_MS`].
const RESTART_MAX_MS: u64 = 60_000;
/// A part that ran so long starts the waits from the beginning.
const STABLE_SECONDS: u64 = 60;

/// The counter of restarts, by service and part.
const RESTARTS: &str = "tapedeck_part_restarts_total";

/// Named tasks that start and end together.
pub struct Tasks {
    running: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, Cow<'static, str>>,
    shutdown: CancellationToken,
    budget: ShutdownBudget,
}

impl Tasks {
    /// No tasks yet; `shutdown` ends all of them. Services use [`Runtime::tasks`](crate::Runtime::tasks), which shares one
    /// budget in the whole process.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self::with_budget(shutdown.clone(), ShutdownBudget::new(shutdown))
    }

    pub(crate) fn with_budget(shutdown: CancellationToken, budget: ShutdownBudget) -> Self {
        Self { running: JoinSet::new(), names: HashMap::new(), shutdown, budget }
    }

    /// Starts an essential task. It has to run until the shutdown, then drain and return `Ok`.
    pub fn spawn(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let name = name.into();
        let span = info_span!("task", task = %name);
        let id = self.running.spawn(task.instrument(span)).id();
        self.names.insert(id, name);
    }

    /// Starts a part that the service can do without, such as a mail server or one feed of several. `start` is called again,
    /// after a wait that grows up to a minute, whenever the part fails, panics, or ends before the shutdown. Meanwhile
    /// `health` is down with the reason, and `tapedeck_part_restarts_total` counts. `start` reports `health` up once the part
    /// works.
    pub fn spawn_restarting<F>(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        health: Component,
        start: impl FnMut() -> F + Send + 'static,
    ) where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let shutdown = self.shutdown.clone();
        self.spawn(name, keep_running(health, shutdown, start));
    }

    /// Waits for all tasks. The first that fails, panics, or ends before the shutdown stops the others. Tasks that have not
    /// ended by [`ShutdownBudget::tasks`] are aborted.
    ///
    /// # Errors
    /// That first failure, with the task's name.
    pub async fn join(mut self) -> anyhow::Result<()> {
        let deadline = self.budget.tasks();
        let seconds = deadline.seconds();
        let mut deadline = pin!(deadline.passed());
        let mut first_failure = None;
        loop {
            let ended = tokio::select! {
                ended = self.running.join_next_with_id() => ended,
                () = &mut deadline => {
                    let unfinished = self.abandon();
                    let error = anyhow!("not finished within {seconds} s of the shutdown: {unfinished}");
                    return Err(first_failure.unwrap_or(error));
                }
            };
            let Some(ended) = ended else { return first_failure.map_or(Ok(()), Err) };
            if let Err(error) = self.outcome(ended) {
                tracing::error!("{error:#}");
                first_failure.get_or_insert(error);
                self.shutdown.cancel();
            }
        }
    }

    fn outcome(&mut self, ended: Result<(Id, anyhow::Result<()>), JoinError>) -> anyhow::Result<()> {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(panicked(error))),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        result.with_context(|| format!("the task `{name}` failed"))?;
        if !self.shutdown.is_cancelled() {
            bail!("the task `{name}` ended by itself");
        }
        Ok(())
    }

    /// Aborts what still runs, and returns its names.
    fn abandon(&mut self) -> String {
        self.running.abort_all();
        self.running.detach_all();
        let mut names: Vec<String> = self.names.values().map(|name| format!("`{name}`")).collect();
        names.sort();
        names.join(", ")
    }
}

/// Why a task has no result.
fn panicked(error: JoinError) -> anyhow::Error {
    match error.try_into_panic() {
        Ok(panic) => anyhow!("it panicked: {}", message(&*panic)),
        Err(error) => anyhow!(error),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Runs a part until the shutdown, again and again.
async fn keep_running<F>(
    health: Component,
    shutdown: CancellationToken,
    mut start: impl FnMut() -> F + Send,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let waits = ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(RESTART_MIN_MS))
        .with_max_delay(Duration::from_millis(RESTART_MAX_MS))
        .without_max_times();
    let mut wait = waits.build();
    let labels = [("service", health.service().to_owned()), ("part", health.name().to_owned())];
    let restarts = counter!(RESTARTS, &labels);
    restarts.absolute(0);
    loop {
        let began = Instant::now();
        // A task of its own, so that a panic ends the part only. Aborted together with this one.
        let mut part = JoinSet::new();
        part.spawn(start().in_current_span());
        let ended = match part.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(error)) => Err(panicked(error)),
            None => return Ok(()),
        };
        let error = ended.err().unwrap_or_else(|| anyhow!("it ended by itself"));
        if shutdown.is_cancelled() {
            return Ok(());
        }
        if began.elapsed() >= Duration::from_secs(STABLE_SECONDS) {
            wait = waits.build();
        }
        let delay = wait.next().unwrap_or(Duration::from_millis(RESTART_MAX_MS));
        let reason = format!("{error:#}; trying again in {:.1} s", delay.as_secs_f64());
        tracing::warn!(part = health.name(), reason, "a part is restarted");
        health.down(&reason);
        restarts.increment(1);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}
