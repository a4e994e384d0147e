//! News: feeds into stories of the live store, each with the symbols that it is about and why; and the morning digest by mail.
//!
//! Feeds are not trusted: what they answer is bounded in size and time, never comes from a private address, and is text without
//! markup before it is stored. A source that fails is reported, and tried again after a wait of up to a day; the others go on. One
//! process gathers at a time, on any host: a lease in the live store. A digest is sent once a reader and day, whatever is killed.

mod aliases;
mod canonical;
mod charset;
mod check;
mod config;
mod digest;
mod fetch;
mod gather;
mod item;
mod job;
mod metrics;
mod parse;
mod relevance;
mod report;
mod response;
mod schedule;
mod source;
mod stories;
mod text;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use job_runner::{Job, JobRunner, JobStore};
use live_store::{LiveStore, LiveStoreError};
use mailer::{MailSettingsError, Mailer};
use service_runtime::{ExposeSecret, Runtime, open_patiently};
use topics::names::service;

use crate::{
    digest::{DigestJob, Digester},
    gather::{Gatherer, SourceHealth},
    job::GatherJob,
    metrics::Metrics,
};

pub use check::{FeedCheck, check_feeds};
pub use config::{
    Addresses, DigestConfig, EXIT_CODES, Feeds, NewsArgs, NewsCommand, NewsConfig, ProcessArgs,
    ProgramCommand, Provider,
};
pub use digest::{DigestReader, OpenAnalytics};

/// At the start news are gathered at once, unless that was done in the last so many minutes.
const FRESH_MINUTES: i64 = 30;

/// Where news, digests and mails are kept, and the moves of the digests.
#[derive(Clone)]
pub struct Stores {
    /// The live store.
    pub live: Arc<dyn LiveStore>,
    /// The analytics store; `None`: digests have no moves.
    pub analytics: Option<OpenAnalytics>,
}

/// What a command has printed, and whether everything succeeded.
#[derive(Debug)]
pub struct Outcome {
    /// For standard output.
    pub text: String,
    /// No source failed.
    pub is_complete: bool,
}

/// Opens the stores, patiently, and runs the command of a command line.
///
/// # Errors
/// A store that cannot be opened, and those of [`execute`].
pub async fn command(args: &NewsArgs, command: NewsCommand) -> anyhow::Result<Outcome> {
    let owner = format!("news-{}", std::process::id());
    with_stores(args, |stores| execute(command, args.config(), stores, &owner)).await
}

/// Opens the stores of the command line, runs `work` with them, and closes them.
async fn with_stores<T, F>(args: &NewsArgs, work: impl FnOnce(Stores) -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let analytics = args.analytics_url.as_ref().filter(|url| !url.expose_secret().is_empty());
    let analytics = analytics.map(|url| args.analytics_password.fill(url)).transpose()?;
    let url = args.store.url()?;
    let open = || live_store::open(url.expose_secret());
    let live = open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open).await?;
    let done = work(Stores { live: Arc::clone(&live), analytics: analytics.map(open_analytics) }).await;
    live.close().await.context("the live store was not closed in order")?;
    done
}

/// Opens the analytics store of a URL, to read it.
pub fn open_analytics(url: service_runtime::SecretString) -> OpenAnalytics {
    Arc::new(move || {
        let url = url.clone();
        Box::pin(async move { analytics_store::open_for_reading(url.expose_secret()).await })
    })
}

/// Runs a command that ends by itself. `owner` names this process in the lease.
///
/// # Errors
/// A store that is unavailable, another gathering at the same time, a setting that cannot be used.
pub async fn execute(
    command: NewsCommand,
    config: NewsConfig,
    stores: Stores,
    owner: &str,
) -> anyhow::Result<Outcome> {
    match command {
        NewsCommand::Run => {
            let gatherer = Gatherer::new(config, Arc::clone(&stores.live), None)?;
            let report = Arc::new(Mutex::new(None));
            let job = GatherJob::by_hand(gatherer, Arc::clone(&report))?;
            JobRunner::new(job, stores.live as _, owner).run_once(Utc::now()).await?;
            let gathering = report.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
            Ok(Outcome { text: report::of_gathering(&gathering), is_complete: gathering.is_complete() })
        }
        NewsCommand::Digest { user, preview, wait_seconds } => {
            let wait = Duration::from_secs(wait_seconds);
            digest::by_hand(&digester(&config, stores)?, user.as_ref(), preview, wait).await
        }
    }
}

fn digester(config: &NewsConfig, stores: Stores) -> anyhow::Result<Digester> {
    let NewsConfig { digest, watchlist, .. } = config;
    let (readers, public_url) = (digest.readers()?, digest.public_url.clone());
    let Stores { live: store, analytics } = stores;
    Ok(Digester { store, analytics, readers, watchlist: watchlist.clone(), public_url })
}

/// [`run`] as a process of its own, which also sends mails where a mail server is set.
///
/// # Errors
/// Those of [`run`], a store or an event log that cannot be opened, and a mail server that cannot be used.
pub async fn serve(args: NewsArgs, process: ProcessArgs) -> anyhow::Result<()> {
    let (output, ProcessArgs { log, mail, listen }) = (args.log_output.clone(), process);
    let work = |runtime: Runtime| async move {
        let mailer = match Mailer::open(&mail) {
            Ok(mailer) => Some(mailer),
            // The alerts, or another service of this store, send what is owed.
            Err(MailSettingsError::Missing) => None,
            Err(error) => return Err(error.into()),
        };
        let config = args.config();
        let work = |stores: Stores| async move {
            let mut tasks = runtime.tasks();
            if let Some(mailer) = mailer {
                let sender = mailer::run_sender(Arc::clone(&stores.live) as _, mailer, runtime.clone());
                tasks.spawn("mail", sender);
            }
            tasks.spawn("news", run(config, stores, runtime));
            tasks.join().await
        };
        with_stores(&args, work).await
    };
    service_runtime::main(service::NEWS, &output, &log, Some(listen), work).await
}

/// Gathers news, and owes digests, by their schedules until the shutdown. What is owed is sent by [`mailer::run_sender`] of any
/// process with this store.
///
/// # Errors
/// A setting that cannot be used.
pub async fn run(config: NewsConfig, stores: Stores, runtime: Runtime) -> anyhow::Result<()> {
    let mut tasks = runtime.tasks();
    let digests = DigestJob::new(digester(&config, stores.clone())?)?;
    let metrics = Metrics::new(&runtime.status);
    let gatherer = Arc::new(Gatherer::new(config, Arc::clone(&stores.live), Some(metrics))?);
    let digest_runner = runner(digests, &stores.live, &runtime);
    let shutdown = runtime.shutdown.clone();
    tasks.spawn(digest::NAME, async move {
        digest_runner.run(shutdown).await;
        Ok(())
    });
    tasks.spawn(job::NAME, gather_by_schedule(gatherer, stores.live, runtime));
    tasks.join().await
}

async fn gather_by_schedule(
    gatherer: Arc<Gatherer>,
    store: Arc<dyn LiveStore>,
    runtime: Runtime,
) -> anyhow::Result<()> {
    let health = Arc::new(SourceHealth::new(Arc::clone(&runtime.status)));
    let job = || GatherJob::scheduled(Arc::clone(&gatherer), Arc::clone(&health));
    let scheduled = runner(job()?, &store, &runtime);
    if is_stale(&*store).await {
        let first = JobRunner::new(job()?, Arc::clone(&store) as _, runtime.status.instance());
        tokio::select! {
            done = first.run_once(Utc::now()) => match done {
                Ok(()) => {}
                Err(error) => tracing::warn!("news are gathered later: {error:#}"),
            },
            () = runtime.shutdown.cancelled() => return Ok(()),
        }
    }
    scheduled.run(runtime.shutdown).await;
    Ok(())
}

/// A runner that reports the health of its job.
fn runner(job: impl Job, store: &Arc<dyn LiveStore>, runtime: &Runtime) -> JobRunner {
    let health = runtime.status.secondary_component(job.name());
    let runner = JobRunner::new(job, Arc::clone(store) as _, runtime.status.instance());
    runner.reporting(move |state| match state {
        Ok(detail) => health.up(detail),
        Err(reason) => health.down(reason),
    })
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
