//! The nightly aggregation: each day of each symbol from the live store into the analytics store.
//!
//! A run is a function of what is stored and of the date: running it again changes nothing, also not `computed_at`. A run that is
//! killed leaves whole symbols, and the next one continues. One process runs it at a time, on any host: a lease in the live store.

mod config;
mod day;
mod history;
mod night;
mod performance;
mod report;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use analytics_store::{AnalyticsError, AnalyticsStore, BatchRun, RowQuery};
use anyhow::{Context, bail};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use job_runner::{Job, JobRunner, MissedRuns, Schedule};
use live_store::{LiveStore, LiveStoreError};
use market::{AssetClass, Symbol};
use service_runtime::{ExposeSecret, Runtime, cancel_on_signals, open_patiently};
use tokio_util::sync::CancellationToken;
use topics::names::component;

use crate::night::{Night, Report, Request};

pub use config::{BatchArgs, BatchCommand, BatchConfig, EXIT_CODES};

/// Between two tries to open the analytics store.
const REOPEN: Duration = Duration::from_secs(10);
/// Runs that `status` prints.
const SHOWN_RUNS: u32 = 20;

/// What a command has printed, and whether everything succeeded.
#[derive(Debug)]
pub struct Outcome {
    /// For standard output.
    pub text: String,
    /// No symbol and no day failed.
    pub is_complete: bool,
}

/// Opens both stores, patiently, and runs the command of a command line.
///
/// # Errors
/// A store that cannot be opened, and those of [`execute`].
pub async fn command(BatchArgs { store, analytics, command, .. }: BatchArgs) -> anyhow::Result<Outcome> {
    let shutdown = CancellationToken::new();
    cancel_on_signals(shutdown.clone())?;
    let url = store.url()?;
    let open = || live_store::open(url.expose_secret());
    let store =
        open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open).await?;
    let url = analytics.url()?;
    let open = || analytics_store::open(url.expose_secret());
    let setting = "--analytics, ANALYTICS_URL";
    let analytics = open_patiently("analytics store", setting, AnalyticsError::is_transient, open).await?;
    let owner = format!("batch-{}", std::process::id());
    execute_and_close(command, store, analytics, &owner, shutdown).await
}

/// [`execute`], and then closes both stores.
///
/// # Errors
/// Those of [`execute`], and a store that cannot be closed in order.
pub async fn execute_and_close(
    command: BatchCommand,
    store: Arc<dyn LiveStore>,
    analytics: AnalyticsStore,
    owner: &str,
    shutdown: CancellationToken,
) -> anyhow::Result<Outcome> {
    let analytics = Arc::new(analytics);
    let done = execute(command, Arc::clone(&store), Arc::clone(&analytics), owner, shutdown).await;
    analytics.close().await.context("the analytics store was not closed in order")?;
    store.close().await.context("the live store was not closed in order")?;
    done
}

/// Runs a command. `owner` names this process in the lease.
///
/// # Errors
/// A store that is unavailable, another run at the same time, a day that has not ended.
pub async fn execute(
    command: BatchCommand,
    store: Arc<dyn LiveStore>,
    analytics: Arc<AnalyticsStore>,
    owner: &str,
    shutdown: CancellationToken,
) -> anyhow::Result<Outcome> {
    let now = Utc::now();
    match command {
        BatchCommand::Run { date, symbol, dry_run } => {
            let request = date.map_or(Request::Due, |date| Request::Between(date, date));
            run_once(request, symbol, dry_run, Night { store, analytics, shutdown }, owner).await
        }
        BatchCommand::Backfill { from, to, symbol } => {
            let newest =
                [AssetClass::Crypto, AssetClass::Stock].map(|class| night::newest_closed(class, now));
            let to = to.unwrap_or(newest[0].max(newest[1]));
            if from > to {
                bail!("--from {from} is after --to {to}");
            }
            let night = Night { store, analytics, shutdown };
            run_once(Request::Between(from, to), symbol, false, night, owner).await
        }
        BatchCommand::Status => {
            let runs: Vec<BatchRun> = analytics.rows(&RowQuery::newest(None, SHOWN_RUNS)).await?;
            Ok(Outcome { text: report::of_runs(&runs, now), is_complete: true })
        }
        BatchCommand::Schedule(config) => {
            let night = Night { store: Arc::clone(&store), analytics, shutdown: shutdown.clone() };
            let job = NightJob::scheduled(&config, night)?;
            JobRunner::new(job, store as _, owner).run(shutdown).await;
            Ok(Outcome { text: "stopped".to_owned(), is_complete: true })
        }
    }
}

/// Runs by the schedule until the shutdown, as a part of a process. An analytics store that cannot be opened is reported, and tried
/// again without end: the other parts of the process go on.
///
/// # Errors
/// A schedule that is no cron syntax.
pub async fn run<F>(
    config: BatchConfig,
    store: Arc<dyn LiveStore>,
    open: impl Fn() -> F,
    runtime: Runtime,
) -> anyhow::Result<()>
where
    F: Future<Output = analytics_store::Result<AnalyticsStore>>,
{
    config.schedule()?;
    let health = runtime.status.secondary_component(component::BATCH);
    let analytics = loop {
        match open().await {
            Ok(analytics) => break Arc::new(analytics),
            Err(error) => health.down(&format!("{error}; trying again in {} s", REOPEN.as_secs())),
        }
        tokio::select! {
            () = runtime.shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(REOPEN) => {}
        }
    };
    let night = Night {
        store: Arc::clone(&store),
        analytics: Arc::clone(&analytics),
        shutdown: runtime.shutdown.clone(),
    };
    let job = NightJob::scheduled(&config, night)?;
    let runner = JobRunner::new(job, store as _, runtime.status.instance());
    let runner = runner.reporting(move |state| match state {
        Ok(detail) => health.up(detail),
        Err(reason) => health.down(reason),
    });
    runner.run(runtime.shutdown).await;
    analytics.close().await.context("the analytics store was not closed in order")
}

async fn run_once(
    request: Request,
    only: Option<Symbol>,
    is_dry: bool,
    night: Night,
    owner: &str,
) -> anyhow::Result<Outcome> {
    let reported = Arc::new(Mutex::new(Report::default()));
    let store = Arc::clone(&night.store);
    let job = NightJob {
        night,
        request,
        only,
        is_dry,
        schedule: never()?,
        waits: false,
        report: Arc::clone(&reported),
    };
    JobRunner::new(job, store as _, owner).run_once(Utc::now()).await?;
    let report = std::mem::take(&mut *reported.lock().unwrap_or_else(PoisonError::into_inner));
    let is_complete = report.failed.is_empty() && (report.not_ended.is_empty() || !report.rows.is_empty());
    Ok(Outcome { text: report::of_run(&report, is_dry), is_complete })
}

/// The schedule of a job that is only run by hand.
fn never() -> anyhow::Result<Schedule> {
    Ok(Schedule::parse("0 0 1 1 *", chrono_tz::UTC)?)
}

/// The job of a night.
struct NightJob {
    night: Night,
    request: Request,
    only: Option<Symbol>,
    is_dry: bool,
    schedule: Schedule,
    /// A run by the schedule waits until the days that ended with it can be aggregated.
    waits: bool,
    report: Arc<Mutex<Report>>,
}

impl NightJob {
    /// The job that runs by the schedule of the settings.
    fn scheduled(config: &BatchConfig, night: Night) -> anyhow::Result<Self> {
        let (schedule, report) = (config.schedule()?, Arc::default());
        Ok(Self { night, request: Request::Due, only: None, is_dry: false, schedule, waits: true, report })
    }
}

#[async_trait]
impl Job for NightJob {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn schedule(&self) -> Schedule {
        self.schedule.clone()
    }

    /// One run makes up all days that are missing.
    fn missed_runs(&self) -> MissedRuns {
        MissedRuns::MakeUpNewest
    }

    fn limit(&self) -> Duration {
        BatchRun::LONGEST
    }

    async fn run(&self, due: DateTime<Utc>) -> anyhow::Result<()> {
        // A night that begins with the end of a day waits until ticks of that day are no longer expected.
        if self.request == Request::Due
            && self.waits
            && let Ok(wait) = (due + night::GRACE - Utc::now()).to_std()
        {
            tokio::time::sleep(wait).await;
        }
        let report = self.night.run(self.request, self.only, self.is_dry, Utc::now()).await?;
        let failed = report.failed.len();
        tracing::info!(
            days = report.rows.len(),
            ticks = report.ticks_read,
            rows = report.rows_written,
            failed,
            "the batch has run"
        );
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
        Ok(())
    }
}
