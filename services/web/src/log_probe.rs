//! Asks the log, every two seconds, what its topics hold and how far the consumer is behind.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use event_log::EventLog;
use service_runtime::Runtime;
use tokio::time::timeout;
use topics::tick;

use crate::{live::Live, pipeline::LogState, updates::Change};

/// Between two probes.
const PROBE_INTERVAL_MS: u64 = 2_000;
/// Longest time of one probe.
const PROBE_TIMEOUT_MS: u64 = 5_000;

/// Probes until the shutdown. After each probe the pages that draw the pipeline learn that its figures changed.
pub(crate) async fn run(live: Arc<Live>, runtime: Runtime, group: String) -> anyhow::Result<()> {
    let mut due = tokio::time::interval(Duration::from_millis(PROBE_INTERVAL_MS));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = runtime.shutdown.cancelled() => return Ok(()),
            _ = due.tick() => {}
        }
        let probed = timeout(Duration::from_millis(PROBE_TIMEOUT_MS), probe(&*runtime.log, &group));
        let state = tokio::select! {
            () = runtime.shutdown.cancelled() => return Ok(()),
            state = probed => state.unwrap_or_else(|_| Err(format!("no answer within {PROBE_TIMEOUT_MS} ms"))),
        };
        if let Err(reason) = &state {
            tracing::warn!(reason, "the topics and the lag could not be read from the log");
        }
        live.pipeline().take_log_state(state, Utc::now());
        live.publish(&[Change::Status]);
    }
}

async fn probe(log: &dyn EventLog, group: &str) -> LogState {
    let topics = log.topics().await.map_err(|error| error.to_string())?;
    let lags = log
        .lag(group, &[tick::STOCK_PRICES, tick::CRYPTO_PRICES])
        .await
        .map_err(|error| error.to_string())?;
    Ok((topics, lags))
}
