//! What the `main` of a service does before its work.

use std::sync::Arc;

use anyhow::Context;
use chrono::Utc;
use event_log::{EventLog, TopicSpec};
use live_store::LiveStore;
use tokio_util::sync::CancellationToken;

use crate::{LogFormat, Runtime, Status, cancel_on_signals, init_logs, install_metrics};

/// Starts logs and metrics, opens the event log, creates the topics, listens for signals.
///
/// # Errors
/// Whatever cannot be started or opened, with the setting to mend.
pub async fn start(service: &str, format: LogFormat, log_url: &str) -> anyhow::Result<Runtime> {
    init_logs(format)?;
    open_log(service, log_url).await
}

/// The same without the logs, for a process that has started them.
///
/// # Errors
/// Whatever cannot be opened, with the setting to mend.
pub async fn open_log(service: &str, url: &str) -> anyhow::Result<Runtime> {
    install_metrics()?;
    let shutdown = CancellationToken::new();
    cancel_on_signals(shutdown.clone())?;
    let log = event_log::open(url).await.context("cannot open the event log (--log, LOG_URL)")?;
    create_topics(&*log).await.context("cannot create the topics (--log, LOG_URL)")?;
    let now = Utc::now();
    let instance = format!("{service}-{}-{}", std::process::id(), now.timestamp_millis());
    Ok(Runtime { log, status: Status::new(service, &instance, now), shutdown })
}

/// Opens the live store.
///
/// # Errors
/// A store that cannot be opened, with the setting to mend.
pub async fn open_store(url: &str) -> anyhow::Result<Arc<dyn LiveStore>> {
    live_store::open(url).await.context("cannot open the live store (--store, STORE_URL)")
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
