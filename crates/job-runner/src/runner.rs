//! Runs one job by its schedule.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow, bail};
use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use metrics::{Counter, counter};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use crate::{Due, JobStore, MissedRuns, Schedule, StoreError};

/// How long a lease is held without being renewed: after the death of its process, another one waits so long.
const LEASE_SECONDS: u64 = 60;
/// Between two renewals.
const RENEW_SECONDS: u64 = 15;
/// Longest wait before the clock is read again: it may have been set.
const MAX_WAIT_SECONDS: u64 = 30;
/// Between two tries to get the lease from another process, or to reach the store.
const BUSY_SECONDS: u64 = 5;
/// First wait after a run that failed; doubled, with jitter, up to the longest.
const RETRY_MIN_MS: u64 = 5_000;
/// See [`RETRY_MIN_MS`].
const RETRY_MAX_MS: u64 = 15 * 60_000;

/// Runs that did not begin at their time, by job, whether they are made up or not.
const MISSED: &str = "tapedeck_job_runs_missed_total";
/// Runs that failed, by job. They are tried again.
const FAILED: &str = "tapedeck_job_runs_failed_total";
/// Runs that finished, by job.
const FINISHED: &str = "tapedeck_job_runs_finished_total";

/// A job that runs by a schedule.
///
/// A run may be aborted at any point (shutdown, a lost lease, a crash) and is then repeated, so that running it twice must do
/// no more than running it once.
#[async_trait]
pub trait Job: Send + Sync + 'static {
    /// Its name in the store, metrics and logs. One name is one job in all processes that share a store.
    fn name(&self) -> &'static str;

    /// When it runs.
    fn schedule(&self) -> Schedule;

    /// What happens with runs that were due while no process ran it.
    fn missed_runs(&self) -> MissedRuns;

    /// Longest time a run may take; then it is aborted and counts as failed.
    fn limit(&self) -> Duration;

    /// Does one run, which was due at `due`.
    async fn run(&self, due: DateTime<Utc>) -> anyhow::Result<()>;
}

/// Reads the time. A test has its own.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Receives the health of the job: what it waits for, or why it failed.
pub type Health = Box<dyn Fn(Result<&str, &str>) + Send + Sync>;

/// Runs one job by its schedule, in at most one process at a time.
pub struct JobRunner {
    job: Box<dyn Job>,
    store: Arc<dyn JobStore>,
    /// This process, in the store.
    owner: String,
    clock: Clock,
    health: Health,
    missed: Counter,
    failed: Counter,
    finished: Counter,
}

/// What this process has done of the schedule.
struct Progress {
    /// When this process began to run the job.
    started: DateTime<Utc>,
    /// The newest finished run, as the store had it last; another process may have finished a newer one.
    finished: Option<DateTime<Utc>>,
    /// The newest run that was skipped.
    skipped_until: Option<DateTime<Utc>>,
    /// The newest run that was counted as missed.
    counted: Option<DateTime<Utc>>,
}

/// Why a step failed.
enum Failure {
    Store(StoreError),
    Run(anyhow::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl JobRunner {
    /// A runner of `job`; `owner` distinguishes processes, such as the instance name of a service.
    pub fn new(job: impl Job, store: Arc<dyn JobStore>, owner: &str) -> Self {
        let of = |name: &'static str| {
            let counter = counter!(name, "job" => job.name());
            counter.absolute(0);
            counter
        };
        let (missed, failed, finished) = (of(MISSED), of(FAILED), of(FINISHED));
        Self {
            job: Box::new(job),
            store,
            owner: owner.to_owned(),
            clock: Arc::new(Utc::now),
            health: Box::new(|_| {}),
            missed,
            failed,
            finished,
        }
    }

    /// Reports the health of the job to `health`.
    pub fn reporting(mut self, health: impl Fn(Result<&str, &str>) + Send + Sync + 'static) -> Self {
        self.health = Box::new(health);
        self
    }

    /// Reads the time from `clock`.
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Runs the job by its schedule until the shutdown, which aborts a run. Failures, also those of the store, are reported,
    /// counted and tried again after 5 s to 15 min.
    pub async fn run(self, shutdown: CancellationToken) {
        let span = info_span!("job", job = self.job.name());
        let running = self.run_by_schedule().instrument(span);
        tokio::select! {
            never = running => never,
            () = shutdown.cancelled() => self.give_back().await,
        }
    }

    /// Runs the job once, now, as the run that is due at `due`. Not recorded: the schedule goes on as it was.
    ///
    /// # Errors
    /// That of the job or of the store, and another process that runs the job at the moment.
    pub async fn run_once(&self, due: DateTime<Utc>) -> anyhow::Result<()> {
        let name = self.job.name();
        if !self.acquire().await.map_err(anyhow::Error::from_boxed)? {
            bail!(
                "another process runs the job `{name}`, or was killed in it less than {LEASE_SECONDS} s ago; try again when it has \
                 finished"
            );
        }
        let done = self.run_leased(due).await;
        self.give_back().await;
        done.with_context(|| format!("the job `{name}` failed"))
    }

    async fn run_by_schedule(&self) -> ! {
        let schedule = self.job.schedule();
        let mut progress =
            Progress { started: (self.clock)(), finished: None, skipped_until: None, counted: None };
        let waits = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(RETRY_MIN_MS))
            .with_max_delay(Duration::from_millis(RETRY_MAX_MS))
            .without_max_times();
        let mut retries = waits.build();
        loop {
            let (reason, wait) = match self.step(&schedule, &mut progress).await {
                Ok(wait) => {
                    retries = waits.build();
                    tokio::time::sleep(wait).await;
                    continue;
                }
                Err(Failure::Store(error)) => (
                    format!("its lease and runs are unavailable: {error}"),
                    Duration::from_secs(BUSY_SECONDS),
                ),
                Err(Failure::Run(error)) => {
                    (format!("{error:#}"), retries.next().unwrap_or(Duration::from_millis(RETRY_MAX_MS)))
                }
            };
            let reason = format!("{reason}; trying again in {:.0} s", wait.as_secs_f64());
            tracing::warn!(reason, "a job failed");
            (self.health)(Err(&reason));
            tokio::time::sleep(wait).await;
        }
    }

    /// Does the oldest run that is due, if there is one. Returns how long to wait for the next step.
    async fn step(&self, schedule: &Schedule, progress: &mut Progress) -> Result<Duration, Failure> {
        // The store is read only where something may be due.
        if progress.finished.is_some() && self.due(schedule, progress).runs.is_empty() {
            return Ok(self.wait_for_next(schedule));
        }
        self.read_finished(progress).await?;
        if self.due(schedule, progress).runs.is_empty() {
            return Ok(self.wait_for_next(schedule));
        }
        if !self.acquire().await? {
            (self.health)(Ok("another process runs it"));
            return Ok(Duration::from_secs(BUSY_SECONDS));
        }
        let done = self.run_oldest(schedule, progress).await;
        if done.is_err() {
            self.give_back().await;
        }
        done
    }

    /// With the lease.
    async fn run_oldest(&self, schedule: &Schedule, progress: &mut Progress) -> Result<Duration, Failure> {
        // Another process may have done it before the lease was free.
        self.read_finished(progress).await?;
        let due = self.due(schedule, progress).runs;
        let Some(run) = due.first().copied() else {
            self.give_back().await;
            return Ok(Duration::ZERO);
        };
        let is_missed = run < progress.started || due.len() > 1;
        if is_missed && progress.counted.is_none_or(|counted| counted < run) {
            progress.counted = Some(run);
            self.missed.increment(1);
        }
        if let Err(error) = self.run_leased(run).await {
            self.failed.increment(1);
            return Err(Failure::Run(error));
        }
        if !self.store.release(self.job.name(), &self.owner, Some(run)).await? {
            return Err(Failure::Run(anyhow!("its lease expired before the run was recorded")));
        }
        progress.finished = Some(run);
        self.finished.increment(1);
        tracing::info!(due = %run, "a job has run");
        Ok(Duration::ZERO)
    }

    async fn read_finished(&self, progress: &mut Progress) -> Result<(), StoreError> {
        let name = self.job.name();
        progress.finished = self.store.finished(name).await?;
        if progress.finished.is_none() && self.acquire().await? {
            // A new job has missed nothing. What it misses from now on is counted from here.
            let now = (self.clock)();
            self.store.release(name, &self.owner, Some(now)).await?;
            progress.finished = Some(now);
        }
        Ok(())
    }

    /// What is due by the clock and what is known of the store. Skipped runs are counted, once.
    fn due(&self, schedule: &Schedule, progress: &mut Progress) -> Due {
        let Some(finished) = progress.finished.max(progress.skipped_until) else { return Due::default() };
        let due = schedule.due(self.job.missed_runs(), finished, progress.started, (self.clock)());
        if let Some(until) = due.skipped_until {
            tracing::warn!(skipped = due.skipped, %until, "runs of a job were missed and are not made up");
            self.missed.increment(due.skipped);
            progress.skipped_until = Some(until);
        }
        due
    }

    fn wait_for_next(&self, schedule: &Schedule) -> Duration {
        let now = (self.clock)();
        let longest = Duration::from_secs(MAX_WAIT_SECONDS);
        let Some(next) = schedule.next(now) else {
            (self.health)(Err("its schedule has no further time"));
            return longest;
        };
        (self.health)(Ok(&format!("next run at {}", next.format("%Y-%m-%d %H:%M UTC"))));
        (next - now).to_std().unwrap_or(Duration::ZERO).min(longest)
    }

    async fn acquire(&self) -> Result<bool, StoreError> {
        let now = (self.clock)();
        self.store.acquire(self.job.name(), &self.owner, now, now + Duration::from_secs(LEASE_SECONDS)).await
    }

    /// Ends the lease without recording a run.
    async fn give_back(&self) {
        if let Err(error) = self.store.release(self.job.name(), &self.owner, None).await {
            tracing::debug!(error, "the lease of a job was not released; it expires");
        }
    }

    /// Runs the job while its lease is renewed.
    async fn run_leased(&self, due: DateTime<Utc>) -> anyhow::Result<()> {
        tokio::select! {
            done = self.job.run(due) => done,
            reason = self.keep_lease() => bail!("aborted, because {reason}"),
            () = tokio::time::sleep(self.job.limit()) => {
                bail!("aborted, because it took longer than {} s", self.job.limit().as_secs())
            }
        }
    }

    /// Renews the lease until that fails for so long that another process may take it.
    async fn keep_lease(&self) -> String {
        let mut until = tokio::time::Instant::now() + Duration::from_secs(LEASE_SECONDS);
        loop {
            tokio::time::sleep(Duration::from_secs(RENEW_SECONDS)).await;
            let asked = tokio::time::Instant::now();
            let lease = (self.clock)() + Duration::from_secs(LEASE_SECONDS);
            match tokio::time::timeout_at(until, self.store.renew(self.job.name(), &self.owner, lease)).await
            {
                Ok(Ok(true)) => until = asked + Duration::from_secs(LEASE_SECONDS),
                Ok(Ok(false)) => return "another process has its lease".to_owned(),
                Ok(Err(error)) if asked + Duration::from_secs(RENEW_SECONDS) >= until => {
                    return format!("its lease was not renewed: {error}");
                }
                Ok(Err(error)) => tracing::warn!(error, "the lease of a job was not renewed yet"),
                Err(_) => return "its lease was not renewed in time".to_owned(),
            }
        }
    }
}
