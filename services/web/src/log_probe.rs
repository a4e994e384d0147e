//! Asks the log, every two seconds, what its topics hold and how far the consumer is behind.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use event_log::{EventLog, PartitionLag, TopicInfo, TopicPartition};
use metrics::{counter, gauge};
use service_runtime::Runtime;
use tokio::time::timeout;
use topics::{
    names::{component, figure},
    status::{ComponentState, ComponentStatus},
    tick,
};

use crate::{live::Live, pipeline::LogState, updates::Change};

/// Between two probes.
const PROBE_INTERVAL_MS: u64 = 2_000;
/// Longest time of one probe.
const PROBE_TIMEOUT_MS: u64 = 5_000;

/// Probes until the shutdown. After each probe the pages that draw the pipeline learn that its figures changed.
pub(crate) async fn run(live: Arc<Live>, runtime: Runtime, group: String) -> anyhow::Result<()> {
    let mut due = tokio::time::interval(Duration::from_millis(PROBE_INTERVAL_MS));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let failed = counter!("tapedeck_web_log_probes_failed_total");
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
        match &state {
            Ok((topics, lags)) => export(topics, lags),
            Err(reason) => {
                failed.increment(1);
                tracing::warn!(reason, "the topics and the lag could not be read from the log");
            }
        }
        let outage = state.as_ref().err().cloned().or_else(|| down_part(&runtime));
        let down = outage.is_some();
        let has_changed = live.pipeline().take_outage(outage);
        live.pipeline().take_log_state(state, Utc::now());
        if has_changed {
            live.publish(&[Change::Log { down }]);
        }
        live.publish(&[Change::Status]);
    }
}

/// Why this process reads no new prices, although the log answers queries: its part that is down.
fn down_part(runtime: &Runtime) -> Option<String> {
    let parts = runtime.status.snapshot(Utc::now()).components;
    let reads =
        |part: &ComponentStatus| [component::EVENT_LOG, component::LIVE_PRICES].contains(&part.name.as_str());
    parts.into_iter().find(|part| reads(part) && part.state == ComponentState::Down).map(|part| part.detail)
}

/// The figures of `/metrics`.
fn export(topics: &[TopicInfo], lags: &[PartitionLag]) {
    for topic in topics {
        let records: u64 = topic.partitions.iter().map(|(first, end)| end.saturating_sub(*first)).sum();
        gauge!(figure::TOPIC_RECORDS, "topic" => topic.name.clone()).set(records as f64);
    }
    for lag in lags {
        let TopicPartition { topic, partition } = &lag.topic_partition;
        let labels = [("topic", topic.to_string()), ("partition", partition.to_string())];
        gauge!(figure::LAG, &labels).set(lag.lag as f64);
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
