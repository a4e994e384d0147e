//! What the `main` of a service does before its work.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use backon::{ExponentialBuilder, Retryable};
use chrono::Utc;
use event_log::{EventLog, EventLogError, TopicSpec};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::{LogFormat, LogSettings, Runtime, Status, cancel_on_signals, init_logs, install_metrics};

/// Between two tries of a server that is not there yet: at first, and at most.
const MIN_WAIT_MS: u64 = 250;
/// See [`MIN_WAIT_MS`].
const MAX_WAIT_MS: u64 = 5_000;
/// Then it is an error.
const MAX_TRIES: usize = 12;

/// Starts logs and metrics, opens the event log, creates the topics, listens for signals.
///
/// # Errors
/// Whatever cannot be started or opened, with the setting to mend.
pub async fn start(service: &str, format: LogFormat, log: &LogSettings) -> anyhow::Result<Runtime> {
    init_logs(format)?;
    open_log(service, &log.url()?).await
}

/// The same without the logs, for a process that has started them.
///
/// # Errors
/// Whatever cannot be opened, with the setting to mend.
pub async fn open_log(service: &str, url: &SecretString) -> anyhow::Result<Runtime> {
    install_metrics()?;
    let shutdown = CancellationToken::new();
    cancel_on_signals(shutdown.clone())?;
    let log =
        event_log::open(url.expose_secret()).await.context("cannot open the event log (--log, LOG_URL)")?;
    (|| create_topics(&*log))
        .retry(patience())
        // Not while it lets us in no more: somebody has to mend a password or a certificate.
        .when(|error| matches!(error, EventLogError::Unavailable { .. }))
        .notify(|error, wait| tracing::warn!(%error, ?wait, "the event log is not there yet"))
        .await
        .context("cannot create the topics (--log, LOG_URL)")?;
    let now = Utc::now();
    let instance = format!("{service}-{}-{}", std::process::id(), now.timestamp_millis());
    Ok(Runtime { log, status: Status::new(service, &instance, now), shutdown })
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
/// A log that refuses or is away.
pub async fn create_topics(log: &dyn EventLog) -> event_log::Result<()> {
    let specs = topics::ALL.map(|topic| TopicSpec {
        name: topic.name.to_owned(),
        partitions: topic.partitions,
        retention: topic.retention,
    });
    log.ensure_topics(&specs).await
}
