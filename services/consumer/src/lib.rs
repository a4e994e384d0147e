//! Ticks from the event log into the live store, and candles closed from them.
//!
//! No tick is lost and none is stored twice, whatever is killed: ticks are stored under their identity, the state of
//! the candles is saved together with the offset it belongs to, and reading goes on from that offset.

mod batcher;
mod commands;
mod commits;
mod config;
mod inserter;
mod intake;
mod metrics;
mod patient_store;
mod publishing;
mod state;
mod writer;
mod writing;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use event_log::EventLog;
use live_store::LiveStore;
use service_runtime::{Component, Runtime, Tasks};
use tokio_util::sync::CancellationToken;

use crate::{
    batcher::Batcher, inserter::Inserter, intake::Intake, metrics::Metrics, patient_store::PatientStore,
    publishing::Publishing, writer::Writer,
};

pub use config::{ConsumerArgs, ConsumerConfig};
pub use state::logs_read;

/// Between two removals of what is older than the retention.
const PRUNE_INTERVAL_SECONDS: u64 = 3_600;

/// The topics of ticks.
const TICKS: &[&str] = &[topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES];
/// And of the bars that providers quote.
const PROVIDER_BARS: &[&str] = &[topics::quoted_candle::TOPIC];

/// The groups in which a consumer of `group` reads, and their topics. Bars have one of their own: replicas share the
/// partitions of a group by number, whatever is in them, so that in a common one some would get the ticks and some the bars.
pub fn groups(group: &str) -> [(String, &'static [&'static str]); 2] {
    [(group.to_owned(), TICKS), (format!("{group}-candles"), PROVIDER_BARS)]
}

/// Records that consumers of `group` have not committed, in all of its topics.
///
/// # Errors
/// Those of [`EventLog::lag`].
pub async fn lag(log: &dyn EventLog, group: &str) -> event_log::Result<u64> {
    let mut sum = 0;
    for (group, topics) in groups(group) {
        sum += log.lag(&group, topics).await?.iter().map(|partition| partition.lag).sum::<u64>();
    }
    Ok(sum)
}

/// Runs until the shutdown, then drains.
///
/// # Errors
/// A log or a store that fails for good.
pub async fn run(config: ConsumerConfig, store: Arc<dyn LiveStore>, runtime: Runtime) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new(&runtime.status));
    let patient = Arc::new(PatientStore::new(&runtime, Arc::clone(&store), Arc::clone(&metrics)));
    let publishing = Arc::new(Publishing::new(&*runtime.log, Arc::clone(&metrics))?);
    let of = |(group, topics), name| Reader {
        group,
        topics,
        health: runtime.status.component(name),
        store: Arc::clone(&patient),
        publishing: Arc::clone(&publishing),
        metrics: Arc::clone(&metrics),
    };
    let [ticks, bars] = groups(&config.group);
    let (ticks, bars) = (of(ticks, "consumer"), of(bars, "provider bars"));

    let mut tasks = Tasks::new(runtime.shutdown.clone());
    tasks.spawn("consumer intake", ticks.run(config.clone(), runtime.clone()));
    tasks.spawn("consumer intake of bars", bars.run(config.clone(), runtime.clone()));
    tasks.spawn("consumer store", patient.keep_in_touch());
    tasks.spawn("consumer pruning", prune(store, runtime.shutdown, config.retention_days));
    tasks.join().await
}

/// What reads the topics of one group.
struct Reader {
    group: String,
    topics: &'static [&'static str],
    health: Component,
    store: Arc<PatientStore>,
    publishing: Arc<Publishing>,
    metrics: Arc<Metrics>,
}

impl Reader {
    async fn run(self, config: ConsumerConfig, runtime: Runtime) -> anyhow::Result<()> {
        let Self { group, topics, health, store, publishing, metrics } = self;
        let batcher =
            Batcher::new(config.batch_max_messages as usize, Duration::from_millis(config.batch_max_age_ms));
        let inserter = Inserter::new(Arc::clone(&store), Arc::clone(&publishing), Arc::clone(&metrics));
        let (log, shutdown) = (runtime.log, runtime.shutdown);
        let writer =
            Writer::new(store, publishing, Arc::clone(&log), &group, Arc::clone(&metrics), shutdown.clone());
        let joined = log.subscribe(&group, topics).await;
        let subscription = joined.with_context(|| format!("cannot join the group {group}"))?;
        Intake::new(subscription, batcher, inserter, writer, log, health, metrics).run(shutdown).await
    }
}

/// Removes what is older than the retention, now and every hour. A failure is said and tried again an hour later.
async fn prune(
    store: Arc<dyn LiveStore>,
    shutdown: CancellationToken,
    retention_days: u32,
) -> anyhow::Result<()> {
    let mut due = tokio::time::interval(Duration::from_secs(PRUNE_INTERVAL_SECONDS));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = due.tick() => {}
        }
        let before = Utc::now() - TimeDelta::days(i64::from(retention_days));
        match store.prune(before).await {
            Ok(pruned) if pruned.ticks + pruned.candles > 0 => {
                tracing::info!(ticks = pruned.ticks, candles = pruned.candles, retention_days, "pruned");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "pruning failed; tried again in an hour"),
        }
    }
}
