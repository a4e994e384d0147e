//! What the `main` of a service does before its work.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use backon::{ExponentialBuilder, Retryable};
use chrono::Utc;
use event_log::{EventLog, EventLogError, TopicSpec};
use live_store::{LiveStore, LiveStoreError};
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

/// Servers that are started together do not come up together: they are waited for, for about a minute; and as long for room on
/// a store's disk.
fn patience() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(MIN_WAIT_MS))
        .with_max_delay(Duration::from_millis(MAX_WAIT_MS))
        .with_max_times(MAX_TRIES)
}

/// Opens the live store.
///
/// # Errors
/// A store that cannot be opened, with the setting to mend.
pub async fn open_store(url: &SecretString) -> anyhow::Result<Arc<dyn LiveStore>> {
    (|| live_store::open(url.expose_secret()))
        .retry(patience())
        .when(LiveStoreError::is_transient)
        .notify(|error, wait| tracing::warn!(%error, ?wait, "the live store is not there yet"))
        .await
        .context("cannot open the live store (--store, STORE_URL)")
}

/// Creates every topic of the suite that is missing.
///
/// # Errors
/// A log that refuses or is away.
pub async fn create_topics(log: &dyn EventLog) -> event_log::Result<()> {
    let specs: Vec<TopicSpec> = topics::all_with_dead_letters()
        .map(|topic| TopicSpec {
            name: topic.name.into_owned(),
            partitions: topic.partitions,
            retention: topic.retention,
        })
        .collect();
    log.ensure_topics(&specs).await
}
