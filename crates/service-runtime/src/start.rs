//! What every service does before and around its own work.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use backon::{ExponentialBuilder, Retryable};
use chrono::{DateTime, Utc};
use event_log::{EventLogError, LogAdmin, Retention, TopicSpec};
use rustix::system::uname;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use crate::{
    LogGuard, LogOutput, LogSettings, ProcessRuntime, Runtime, Status, cancel_on_signals, heartbeat,
    init_logs, install_metrics, process_figures::ProcessFigures, raise_open_files, renamed_variables,
    serve_admin, shutdown,
};

/// First wait before a server that is unavailable is tried again; doubled up to the longest.
const MIN_WAIT_MS: u64 = 250;
/// See [`MIN_WAIT_MS`].
const MAX_WAIT_MS: u64 = 5_000;
/// After so many tries it is an error.
const MAX_TRIES: usize = 12;

/// The `main` of every service: logs, the event log with its topics, signals, health at `listen`, heartbeats, and `run`,
/// which works until the shutdown and then drains. A service with pages of its own serves health among them, and has no
/// `listen`.
///
/// # Errors
/// Whatever cannot be started, with the setting to fix, and whatever stops the service.
pub async fn main<F>(
    service: &'static str,
    output: &LogOutput,
    log: &LogSettings,
    listen: Option<SocketAddr>,
    run: impl FnOnce(Runtime) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let logs = init_logs(service, output)?;
    let runtime = open_log(service, &log.url()?).await?;
    run_service(service, &logs, runtime, listen, run).await
}

/// [`main`] from the open event log on, which is closed at the end.
///
/// # Errors
/// Whatever stops the service.
pub async fn run_service<F>(
    service: &'static str,
    logs: &LogGuard,
    process: Runtime,
    listen: Option<SocketAddr>,
    run: impl FnOnce(Runtime) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut tasks = process.tasks();
    if let Some(listen) = listen {
        tasks.spawn("health", serve_admin(listen, process.process()));
    }
    tasks.spawn("heartbeat", heartbeat(process.clone()));
    logs.watch(&mut tasks, &process.process());
    let runtime = process.for_service(service);
    tasks.spawn(service, run(runtime).instrument(info_span!("service", service)));
    let done = tasks.join().await.with_context(|| format!("the {service} stopped"));
    done.and(process.log.close().await.context("the event log was not closed in order"))
}

/// The `main` of a service without the event log: as [`main`], and no other process receives its heartbeats.
///
/// # Errors
/// Whatever cannot be started, with the setting to fix, and whatever stops the service.
pub async fn main_without_log<F>(
    service: &'static str,
    output: &LogOutput,
    listen: SocketAddr,
    run: impl FnOnce(ProcessRuntime) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let logs = init_logs(service, output)?;
    let process = ProcessRuntime::start(service)?;
    let mut tasks = process.tasks();
    tasks.spawn("health", serve_admin(listen, process.clone()));
    logs.watch(&mut tasks, &process);
    tasks.spawn(service, run(process.for_service(service)).instrument(info_span!("service", service)));
    tasks.join().await.with_context(|| format!("the {service} stopped"))
}

/// Installs metrics and signal handlers, opens the event log, and creates its topics.
///
/// # Errors
/// Whatever cannot be opened, with the setting to fix.
pub async fn open_log(service: &str, url: &SecretString) -> anyhow::Result<Runtime> {
    ProcessRuntime::start(service)?.open_log(url).await
}

impl ProcessRuntime {
    /// Installs metrics and signal handlers.
    ///
    /// # Errors
    /// A variable of an earlier version that is set, or handlers that cannot be installed.
    pub fn start(service: &str) -> anyhow::Result<Self> {
        if let Some(renamed) = renamed_variables().into_iter().next() {
            bail!(renamed);
        }
        install_metrics()?;
        raise_open_files();
        let now = Utc::now();
        let shutdown = CancellationToken::new();
        cancel_on_signals(shutdown.clone())?;
        shutdown::limit(shutdown.clone());
        let status = Status::new(service, &instance(service, now), now);
        status.report(Arc::new(ProcessFigures));
        Ok(Self { status, shutdown })
    }

    /// Opens the event log, and creates its topics.
    ///
    /// # Errors
    /// Whatever cannot be opened, with the setting to fix.
    pub async fn open_log(&self, url: &SecretString) -> anyhow::Result<Runtime> {
        let open = || event_log::open(url.expose_secret());
        // A server is connected to later, and its errors come then.
        let log = open_patiently("event log", "--log, LOG_URL", EventLogError::is_transient, open).await?;
        (|| create_topics(&*log))
            .retry(patience())
            // A log that refuses the user is not tried again: a password or a certificate has to be corrected.
            .when(|error| matches!(error, EventLogError::Unavailable { .. } | EventLogError::DiskFull { .. }))
            .notify(|error, wait| tracing::warn!(%error, ?wait, "the event log is not available yet"))
            .await
            .context("cannot create the topics (--log, LOG_URL)")?;
        Ok(Runtime { log, status: Arc::clone(&self.status), shutdown: self.shutdown.clone() })
    }
}

/// Distinguishes replicas, whose process ids are all 1 in containers. There the host name is the container's.
fn instance(service: &str, now: DateTime<Utc>) -> String {
    let host = uname();
    let host = host.nodename().to_string_lossy();
    format!("{service}-{host}-{}-{}", std::process::id(), now.timestamp_millis())
}

/// Servers that are started together are not ready at the same time, so that an unavailable one is tried again for about
/// a minute.
fn patience() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(MIN_WAIT_MS))
        .with_max_delay(Duration::from_millis(MAX_WAIT_MS))
        .with_max_times(MAX_TRIES)
}

/// Opens something outside of this process: a store, a mail server. While `is_transient` holds for the error, it is tried
/// again for about a minute. `what` is its name, `setting` the flag and the variable that name its place:
/// `open_patiently("live store", "--store, STORE_URL", ...)`.
///
/// # Errors
/// The last error, with the setting to fix.
pub async fn open_patiently<T, E, F>(
    what: &str,
    setting: &str,
    is_transient: impl Fn(&E) -> bool,
    open: impl FnMut() -> F,
) -> anyhow::Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
    F: Future<Output = Result<T, E>>,
{
    open.retry(patience())
        .when(is_transient)
        .notify(|error, wait| tracing::warn!(%error, ?wait, "the {what} is not available yet"))
        .await
        .with_context(|| format!("cannot open the {what} ({setting})"))
}

/// Creates every topic of the suite that is missing.
///
/// # Errors
/// A log that refuses, or is unavailable.
pub async fn create_topics(log: &dyn LogAdmin) -> event_log::Result<()> {
    let specs: Vec<TopicSpec> = topics::all_with_dead_letters()
        .map(|topic| TopicSpec {
            name: topic.name.into_owned(),
            partitions: topic.partitions,
            retention: Retention::For(topic.retention),
        })
        .collect();
    log.ensure_topics(&specs).await
}
