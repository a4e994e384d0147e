//! The nightly aggregation: each day of each symbol from the live store into the analytics store.
//!
//! A run is a function of what is stored and of the date: running it again changes nothing, also not `computed_at`. A run that is
//! killed leaves whole symbols, and the next one continues. One process runs it at a time, on any host: a lease in the live store.

mod config;
mod day;
mod due;
mod history;
mod job;
mod metrics;
mod night;
mod performance;
mod report;
mod retention;
mod scheduled;

use std::sync::Arc;

use analytics_store::{AnalyticsError, AnalyticsStore, BatchRun, RowQuery};
use anyhow::{Context, bail};
use chrono::Utc;
use job_runner::JobRunner;
use live_store::{LiveStore, LiveStoreError};
use market::{AssetClass, newest_complete_day};
use service_runtime::{
    ExposeSecret, LogSettings, ProcessRuntime, Runtime, cancel_on_signals, open_patiently,
};
use tokio_util::sync::CancellationToken;
use topics::names::service;

use crate::{
    job::{NightJob, run_once},
    night::{Night, Request},
    retention::Retention,
};

pub use config::{BatchArgs, BatchCommand, BatchConfig, EXIT_CODES, RetentionSettings};
pub use scheduled::run;

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
pub async fn command(
    BatchArgs { store, analytics, batch, command, .. }: BatchArgs,
) -> anyhow::Result<Outcome> {
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
    execute_and_close(command, batch, store, analytics, &owner, shutdown).await
}

/// Runs by the schedule, as a process: with health at `listen`, and heartbeats where there is an event log.
///
/// # Errors
/// What cannot be started, with the setting to fix, and a live store that fails permanently.
pub async fn serve(args: BatchArgs) -> anyhow::Result<()> {
    let BatchArgs { store, analytics, log_url, log_password: password, listen, log_output, batch, .. } = args;
    let work = move |process: ProcessRuntime| async move {
        let url = store.url()?;
        let open = || live_store::open(url.expose_secret());
        let store =
            open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open).await?;
        let url = analytics.url()?;
        let open = || {
            let url = url.clone();
            async move { analytics_store::open(url.expose_secret()).await }
        };
        let done = run(batch, Arc::clone(&store), open, process).await;
        done.and(store.close().await.context("the live store was not closed in order"))
    };
    match log_url {
        Some(log_url) => {
            let log = LogSettings { log_url, password };
            let work = |runtime: Runtime| work(runtime.process());
            service_runtime::main(service::BATCH, &log_output, &log, Some(listen), work).await
        }
        None => service_runtime::main_without_log(service::BATCH, &log_output, listen, work).await,
    }
}

/// [`execute`], and then closes both stores.
///
/// # Errors
/// Those of [`execute`], and a store that cannot be closed in order.
pub async fn execute_and_close(
    command: BatchCommand,
    config: BatchConfig,
    store: Arc<dyn LiveStore>,
    analytics: AnalyticsStore,
    owner: &str,
    shutdown: CancellationToken,
) -> anyhow::Result<Outcome> {
    let analytics = Arc::new(analytics);
    let done = execute(command, config, Arc::clone(&store), Arc::clone(&analytics), owner, shutdown).await;
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
    config: BatchConfig,
    store: Arc<dyn LiveStore>,
    analytics: Arc<AnalyticsStore>,
    owner: &str,
    shutdown: CancellationToken,
) -> anyhow::Result<Outcome> {
    let now = Utc::now();
    let night = Night { store, analytics, shutdown, metrics: None };
    match command {
        BatchCommand::Run { date, symbol, dry_run } => {
            let request = date.map_or(Request::Due, |date| Request::Between(date, date));
            run_once(request, symbol, dry_run, night, owner).await
        }
        BatchCommand::Backfill { from, to, symbol } => {
            let newest = [AssetClass::Crypto, AssetClass::Stock].map(|class| newest_complete_day(class, now));
            let to = to.unwrap_or(newest[0].max(newest[1]));
            if from > to {
                bail!("--from {from} is after --to {to}");
            }
            run_once(Request::Between(from, to), symbol, false, night, owner).await
        }
        BatchCommand::Status => {
            let runs: Vec<BatchRun> = night.analytics.rows(&RowQuery::newest(None, SHOWN_RUNS)).await?;
            Ok(Outcome { text: report::of_runs(&runs, now), is_complete: true })
        }
        BatchCommand::Prune => {
            let Night { store, analytics, shutdown, .. } = night;
            let retention = Retention { store, analytics, settings: config.retention, shutdown };
            let removal = retention.run(now).await?;
            let problem = removal.problem(&retention.settings);
            let found = problem.clone().unwrap_or_else(|| removal.to_string());
            let text = format!("removed {} ticks and {} candles; {found}", removal.ticks, removal.minutes);
            Ok(Outcome { text, is_complete: problem.is_none() })
        }
        BatchCommand::Schedule => {
            let (store, shutdown) = (Arc::clone(&night.store), night.shutdown.clone());
            let job = NightJob::scheduled(&config, night)?;
            JobRunner::new(job, store as _, owner).run(shutdown).await;
            Ok(Outcome { text: "stopped".to_owned(), is_complete: true })
        }
    }
}
