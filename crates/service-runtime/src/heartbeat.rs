//! Publishes the status of this process to the event log, for the pages and the command line.

use std::{pin::pin, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use chrono::Utc;
use event_log::{EventLog, NewRecord};
use tokio::time::timeout;
use topics::{
    names::component,
    status::{self, ServiceStatus},
};

use crate::{Component, Runtime};

/// Between two heartbeats.
const INTERVAL_MS: u64 = 2_000;
/// A heartbeat that takes longer than this to be stored means that the log is down.
const LATE_MS: u64 = 5_000;
/// The last heartbeat, at the shutdown, is given up after so long.
const LAST_MS: u64 = 1_000;
/// After a heartbeat has taken so long, the topics are looked for.
const MISSING_MS: u64 = 1_500;
/// Topics that are missing so many times in a row are gone.
const MISSING_LOOKS: u32 = 2;

/// Publishes the status of this process until the shutdown, and then that it stops. While the log is unavailable heartbeats
/// are late, and at most one is in flight.
///
/// # Errors
/// A status that cannot be encoded, a log that refuses for good, or one that has lost its topics.
pub async fn heartbeat(runtime: Runtime) -> anyhow::Result<()> {
    let publisher = runtime.log.publisher().context("cannot publish heartbeats")?;
    let health = runtime.status.component(component::EVENT_LOG);
    let mut beat = tokio::time::interval(Duration::from_millis(INTERVAL_MS));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_first = true;
    loop {
        tokio::select! {
            () = runtime.shutdown.cancelled() => break,
            _ = beat.tick() => {}
        }
        let record = record(&runtime, false)?;
        let publish = async { publisher.send(status::TOPIC, vec![record]).await?.durable().await };
        tokio::select! {
            () = runtime.shutdown.cancelled() => break,
            gone = gone_topics(&*runtime.log) => bail!(
                "topics that existed are gone ({gone}): the broker was wiped, or is another one; start again to make them, \
                 and correct --log (LOG_URL) if another one is meant"
            ),
            never = report_first_answer(&*runtime.log, &health), if is_first => never,
            published = report_when_late(&runtime, &health, publish) => match published {
                Err(error) if !error.is_transient() => return Err(error).context("cannot publish a heartbeat"),
                Err(error) => {
                    health.down(&error.to_string());
                    tracing::warn!(%error, "a heartbeat was not published");
                }
                Ok(_) => health.up("takes records"),
            }
        }
        is_first = false;
    }
    // Without it the process is shown as silent for some minutes. A log that is away then does not delay the end.
    let last = record(&runtime, true)?;
    let publish = async { publisher.send(status::TOPIC, vec![last]).await?.durable().await };
    match timeout(Duration::from_millis(LAST_MS), publish).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "the last heartbeat was not published"),
        Err(_) => tracing::debug!("the last heartbeat was not published in time"),
    }
    Ok(())
}

/// The status of this process, as of now.
fn record(runtime: &Runtime, stopping: bool) -> anyhow::Result<NewRecord> {
    let now = Utc::now();
    let status = ServiceStatus { stopping, ..runtime.status.snapshot(now) };
    Ok(NewRecord {
        key: Some(Bytes::from(status.instance.clone())),
        payload: Bytes::from(status::encode(&status).context("cannot encode a status")?),
        headers: Vec::new(),
        timestamp: now,
    })
}

/// Reports the log up at its first answer. The first record takes longer: a new Kafka client requests its producer id only
/// every half second, and the record waits for it.
async fn report_first_answer(log: &dyn EventLog, health: &Component) -> ! {
    if log.topics().await.is_ok() {
        health.up("answers");
    }
    std::future::pending().await
}

/// Waits for a heartbeat, and reports the log down with the reason when that takes long.
async fn report_when_late<T>(
    runtime: &Runtime,
    health: &Component,
    publish: impl Future<Output = event_log::Result<T>>,
) -> event_log::Result<T> {
    let mut publish = pin!(publish);
    if let Ok(published) = timeout(Duration::from_millis(LATE_MS), &mut publish).await {
        return published;
    }
    let report = async {
        match runtime.log.topics().await {
            Err(error) => health.down(&error.to_string()),
            Ok(_) => health.down("the log answers, and takes no records"),
        }
        std::future::pending().await
    };
    tokio::select! {
        published = publish => published,
        never = report => never,
    }
}

/// Resolves when the broker answers and topics are gone: it was wiped, or is another one. A producer that published there
/// before must not go on: such a broker assigns the producer ids that it uses to recognise repeated records a second time.
async fn gone_topics(log: &dyn EventLog) -> String {
    let mut looks = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(MISSING_MS)).await;
        let gone: Vec<_> = match log.topics().await {
            Ok(there) => topics::all_with_dead_letters()
                .map(|topic| topic.name)
                .filter(|name| !there.iter().any(|info| info.name == *name))
                .collect(),
            Err(error) => {
                tracing::debug!(%error, "cannot look whether the topics exist");
                Vec::new()
            }
        };
        // A broker that has just come back may not list its own topics at the first look.
        looks = if gone.is_empty() { 0 } else { looks + 1 };
        if looks == MISSING_LOOKS {
            return gone.join(", ");
        }
    }
}
