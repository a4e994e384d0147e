//! Tells the other services, through the log, how this process is doing.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use chrono::Utc;
use event_log::NewRecord;
use topics::status;

use crate::Runtime;

/// Between two heartbeats.
const INTERVAL_MS: u64 = 2_000;

/// Publishes the status of this process until the shutdown. A log that is away makes heartbeats late, not wrong: at
/// most one is under way.
///
/// # Errors
/// A status that cannot be encoded, or a log that refuses for good.
pub async fn heartbeat(runtime: Runtime) -> anyhow::Result<()> {
    let publisher = runtime.log.publisher().context("cannot publish heartbeats")?;
    let mut beat = tokio::time::interval(Duration::from_millis(INTERVAL_MS));
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
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
            published = publish => match published {
                Err(error) if !error.is_transient() => return Err(error).context("cannot publish a heartbeat"),
                Err(error) => tracing::warn!(%error, "a heartbeat was not published"),
                Ok(_) => {}
            }
        }
    }
}
