//! Tells the other services, through the log, how this process is doing.

use std::{pin::pin, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use chrono::Utc;
use event_log::{EventLog, NewRecord};
use tokio::time::timeout;
use topics::status;

use crate::{Component, Runtime};

/// Between two heartbeats.
const INTERVAL_MS: u64 = 2_000;
/// A heartbeat that takes longer than this to be stored tells that the log is not well.
const LATE_MS: u64 = 5_000;
/// One that is so late is a reason to look whether the topics are there.
const MISSING_MS: u64 = 1_500;
/// Topics that are not there so many times in a row are gone.
const MISSING_LOOKS: u32 = 2;

/// Publishes the status of this process until the shutdown. A log that is away makes heartbeats late, not wrong: at
/// most one is under way.
///
/// # Errors
/// A status that cannot be encoded, a log that refuses for good, or one that has lost its topics.
pub async fn heartbeat(runtime: Runtime) -> anyhow::Result<()> {
    let publisher = runtime.log.publisher().context("cannot publish heartbeats")?;
    let health = runtime.status.component("event log");
    let mut beat = tokio::time::interval(Duration::from_millis(INTERVAL_MS));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_first = true;
    loop {
        tokio::select! {
            () = runtime.shutdown.cancelled() => return Ok(()),
            _ = beat.tick() => {}
        }
        let now = Utc::now();
        let record = NewRecord {
            key: Some(Bytes::from(runtime.status.instance().to_owned())),
            payload: Bytes::from(
                status::encode(&runtime.status.snapshot(now)).context("cannot encode a status")?,
            ),
            headers: Vec::new(),
            timestamp: now,
        };
        let publish = async { publisher.send(status::TOPIC, vec![record]).await?.durable().await };
        tokio::select! {
            () = runtime.shutdown.cancelled() => return Ok(()),
            gone = gone_topics(&*runtime.log) => bail!(
                "topics that were there are gone ({gone}): the broker was wiped, or is another one; start again to make them, \
                 and mend --log (LOG_URL) if another one is meant"
            ),
            never = told_when_it_answers(&*runtime.log, &health), if is_first => never,
            published = told_when_late(&runtime, &health, publish) => match published {
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
}

/// A Kafka client that has just begun asks for its producer id every half second only, and a first record waits for it: that the
/// log answers is known sooner, and what is published meanwhile waits its turn.
async fn told_when_it_answers(log: &dyn EventLog, health: &Component) -> ! {
    if log.topics().await.is_ok() {
        health.up("answers");
    }
    std::future::pending().await
}

/// Waits for a heartbeat. A log that is away, or lets nobody in, takes its time: then the health says why.
async fn told_when_late<T>(
    runtime: &Runtime,
    health: &Component,
    publish: impl Future<Output = event_log::Result<T>>,
) -> event_log::Result<T> {
    let mut publish = pin!(publish);
    if let Ok(published) = timeout(Duration::from_millis(LATE_MS), &mut publish).await {
        return published;
    }
    let told = async {
        match runtime.log.topics().await {
            Err(error) => health.down(&error.to_string()),
            Ok(_) => health.down("the log answers, and takes no records"),
        }
        std::future::pending().await
    };
    tokio::select! {
        published = publish => published,
        never = told => never,
    }
}

/// Resolves when the broker answers and topics are gone: it was wiped, or is another one. Whoever published there before must
/// not go on: producers are told apart by numbers that such a broker gives away anew.
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
                tracing::debug!(%error, "cannot tell whether the topics are there");
                Vec::new()
            }
        };
        // A broker that has just come back may not know its own at the first look.
        looks = if gone.is_empty() { 0 } else { looks + 1 };
        if looks == MISSING_LOOKS {
            return gone.join(", ");
        }
    }
}
