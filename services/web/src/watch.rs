//! Looks at the log now and then: what its topics hold, and how far the consumer is.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use event_log::EventLog;
use service_runtime::Runtime;
use tokio::time::timeout;
use topics::tick;

use crate::{live::Live, pipeline::Look};

/// Between two looks at the log.
const LOOK_INTERVAL_MS: u64 = 2_000;
/// Longest one look may take.
const LOOK_TIMEOUT_MS: u64 = 5_000;

/// Looks at the log every two seconds until the shutdown.
pub(crate) async fn watch(live: Arc<Live>, runtime: Runtime, group: String) -> anyhow::Result<()> {
    let mut due = tokio::time::interval(Duration::from_millis(LOOK_INTERVAL_MS));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = runtime.shutdown.cancelled() => return Ok(()),
            _ = due.tick() => {}
        }
        let looked = timeout(Duration::from_millis(LOOK_TIMEOUT_MS), look(&*runtime.log, &group));
        let look = tokio::select! {
            () = runtime.shutdown.cancelled() => return Ok(()),
            look = looked => look.unwrap_or_else(|_| Err(format!("no answer within {LOOK_TIMEOUT_MS} ms"))),
        };
        if let Err(reason) = &look {
            tracing::warn!(reason, "the log could not be asked for its topics and lag");
        }
        live.pipeline().take_look(look, Utc::now());
    }
}

async fn look(log: &dyn EventLog, group: &str) -> Look {
    let topics = log.topics().await.map_err(|error| error.to_string())?;
    let lags = log
        .lag(group, &[tick::STOCK_PRICES, tick::CRYPTO_PRICES])
        .await
        .map_err(|error| error.to_string())?;
    Ok((topics, lags))
}
