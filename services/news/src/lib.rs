//! News: feeds into stories of the live store, each with the symbols that it is about and why.
//!
//! Feeds are not trusted: what they answer is bounded in size and time, never comes from a private address, and is text without
//! markup before it is stored. A source that fails is reported, and tried again after a wait of up to a day; the others go on. One
//! process gathers at a time, on any host: a lease in the live store.

mod aliases;
mod canonical;
mod charset;
mod config;
mod fetch;
mod gather;
mod item;
mod job;
mod metrics;
mod parse;
mod relevance;
mod report;
mod schedule;
mod source;
mod stories;
mod text;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use job_runner::{JobRunner, JobStore};
use live_store::{LiveStore, LiveStoreError};
use service_runtime::{ExposeSecret, Runtime, open_patiently};

use crate::{gather::Gatherer, job::GatherJob, metrics::Metrics};

pub use config::{EXIT_CODES, NewsArgs, NewsCommand, NewsConfig, ProcessArgs, ProgramCommand, Provider};

/// At the start news are gathered at once, unless that was done in the last so many minutes.
const FRESH_MINUTES: i64 = 30;

/// What a command has printed, and whether everything succeeded.
#[derive(Debug)]
pub struct Outcome {
    /// For standard output.
    pub text: String,
    /// No source failed.
    pub is_complete: bool,
}

/// Opens the store of the command line, runs `work` with it, and closes it.
///
/// # Errors
/// A store that cannot be opened, those of `work`, and a store that cannot be closed in order.
pub async fn with_store<T, F>(
    args: &NewsArgs,
    work: impl FnOnce(Arc<dyn LiveStore>) -> F,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let url = args.store.url()?;
    let open = || live_store::open(url.expose_secret());
    let store =
        open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open).await?;
    let done = work(Arc::clone(&store)).await;
    store.close().await.context("the live store was not closed in order")?;
    done
}

/// Runs a command that ends by itself. `owner` names this process in the lease.
///
/// # Errors
/// A store that is unavailable, another gathering at the same time, a setting that cannot be used.
pub async fn execute(
    command: NewsCommand,
    config: NewsConfig,
    store: Arc<dyn LiveStore>,
    owner: &str,
) -> anyhow::Result<Outcome> {
    match command {
        NewsCommand::Run => {
            let gatherer = Gatherer::new(config, Arc::clone(&store), None)?;
            let report = Arc::new(Mutex::new(None));
            let job = GatherJob::by_hand(gatherer, Arc::clone(&report))?;
            JobRunner::new(job, store as _, owner).run_once(Utc::now()).await?;
            let gathering = report.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            Ok(Outcome { text: report::of_gathering(&gathering), is_complete: gathering.is_complete() })
        }
    }
}

/// Gathers by the schedule until the shutdown.
///
/// # Errors
/// A setting that cannot be used.
pub async fn run(config: NewsConfig, store: Arc<dyn LiveStore>, runtime: Runtime) -> anyhow::Result<()> {
    let metrics = Metrics::new(&runtime.status);
    let health = runtime.status.secondary_component(job::NAME);
    let gatherer = Arc::new(Gatherer::new(config, Arc::clone(&store), Some(metrics))?);
    let status = Arc::clone(&runtime.status);
    let job = || GatherJob::scheduled(Arc::clone(&gatherer), Arc::clone(&status));
    let owner = runtime.status.instance();
    if is_stale(&*store).await {
        let first = JobRunner::new(job()?, Arc::clone(&store) as _, owner);
        tokio::select! {
            done = first.run_once(Utc::now()) => match done {
                Ok(()) => {}
                Err(error) => tracing::warn!("news are gathered later: {error:#}"),
            },
            () = runtime.shutdown.cancelled() => return Ok(()),
        }
    }
    let runner = JobRunner::new(job()?, store as _, owner).reporting(move |state| match state {
        Ok(detail) => health.up(detail),
        Err(reason) => health.down(reason),
    });
    runner.run(runtime.shutdown).await;
    Ok(())
}

/// Whether no gathering has finished in the last half hour, as far as the store answers.
async fn is_stale(store: &dyn LiveStore) -> bool {
    match JobStore::finished(store, job::NAME).await {
        Ok(finished) => {
            finished.is_none_or(|finished| finished < Utc::now() - TimeDelta::minutes(FRESH_MINUTES))
        }
        Err(_) => false,
    }
}
