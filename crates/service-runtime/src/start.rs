//! What the `main` of a single service does before its work.

use anyhow::Context;
use chrono::Utc;
use tokio_util::sync::CancellationToken;

use crate::{
    LogFormat, LogSettings, Runtime, Status, StoreSettings, cancel_on_signals, init_logs, install_metrics,
};

/// Starts logs and metrics, opens the log and the store, creates the topics, listens for signals.
///
/// # Errors
/// Whatever cannot be started or opened, with the setting to mend.
pub async fn start(
    service: &str,
    format: LogFormat,
    log: &LogSettings,
    store: &StoreSettings,
) -> anyhow::Result<Runtime> {
    init_logs(format)?;
    open(service, &log.log_url, &store.store_url).await
}

/// The same without the logs, for a process that has started them: opens the log and the store and creates the
/// topics.
///
/// # Errors
/// Whatever cannot be opened, with the setting to mend.
pub async fn open(service: &str, log_url: &str, store_url: &str) -> anyhow::Result<Runtime> {
    install_metrics()?;
    let shutdown = CancellationToken::new();
    cancel_on_signals(shutdown.clone())?;
    let log = event_log::open(log_url).await.context("cannot open the event log (--log, LOG_URL)")?;
    let topics = topics::ALL.map(|topic| event_log::TopicSpec {
        name: topic.name.to_owned(),
        partitions: topic.partitions,
        retention: topic.retention,
    });
    log.ensure_topics(&topics).await.context("cannot create the topics")?;
    let store =
        live_store::open(store_url).await.context("cannot open the live store (--store, STORE_URL)")?;
    let now = Utc::now();
    let instance = format!("{service}-{}-{}", std::process::id(), now.timestamp_millis());
    Ok(Runtime { log, store, status: Status::new(service, &instance, now), shutdown })
}
