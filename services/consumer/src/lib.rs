//! Ticks from the event log into the live store, and candles closed from them.
//!
//! No tick is lost and none is stored twice, whatever is killed: ticks are stored under their identity, the state of
//! the candles is saved together with the offset it belongs to, and reading goes on from that offset.

mod batcher;
mod commands;
mod config;
mod inserter;
mod intake;
mod metrics;
mod patient_store;
mod publishing;
mod state;
mod writer;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use live_store::LiveStore;
use service_runtime::{Runtime, Tasks};
use tokio_util::sync::CancellationToken;

use crate::{
    batcher::Batcher, inserter::Inserter, intake::Intake, metrics::Metrics, patient_store::PatientStore,
    publishing::Publishing, writer::Writer,
};

pub use config::{ConsumerArgs, ConsumerConfig};

/// Between two removals of what is older than the retention.
const PRUNE_INTERVAL_SECONDS: u64 = 3_600;

/// The topics it reads: ticks, and the bars that providers quote.
pub const TOPICS: [&str; 3] =
    [topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES, topics::candle::TOPIC];

/// Runs until the shutdown, then drains.
///
/// # Errors
/// A log or a store that fails for good.
pub async fn run(config: ConsumerConfig, store: Arc<dyn LiveStore>, runtime: Runtime) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new(&runtime.status));
    let health = runtime.status.component("consumer");
    let batcher =
        Batcher::new(config.batch_max_messages as usize, Duration::from_millis(config.batch_max_age_ms));
    let patient = Arc::new(PatientStore::new(&runtime, Arc::clone(&store), Arc::clone(&metrics)));
    let publishing = Arc::new(Publishing::new(&*runtime.log, Arc::clone(&metrics))?);
    let inserter = Inserter::new(Arc::clone(&patient), Arc::clone(&publishing), Arc::clone(&metrics));
    let log = Arc::clone(&runtime.log);
    let shutdown = runtime.shutdown.clone();
    let writer = Writer::new(patient, publishing, log, &config.group, Arc::clone(&metrics), shutdown);
    let subscription = runtime
        .log
        .subscribe(&config.group, &TOPICS)
        .await
        .with_context(|| format!("cannot join the group {}", config.group))?;
    let intake = Intake::new(subscription, batcher, inserter, writer, runtime.log, health, metrics);

    let mut tasks = Tasks::new(runtime.shutdown.clone());
    tasks.spawn("consumer intake", intake.run(runtime.shutdown.clone()));
    tasks.spawn("consumer pruning", prune(store, runtime.shutdown, config.retention_days));
    tasks.join().await
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
