//! Ticks from the event log against alert rules, and the mails that are owed for what fires.
//!
//! One episode is one alert and one mail a recipient, whatever is killed: an alert is stored under the identity of its episode
//! together with the deliveries that are owed for it, rules take effect at a saved offset, and the alerts of a mail are fixed before
//! it is owed.

mod alert_log;
mod baselines;
mod config;
mod day_chart;
mod deliveries;
mod grouping;
mod history;
mod house;
mod lease;
mod letter;
mod metrics;
mod processor;
mod prune;
mod reader;
mod rule_book;
mod sealed_mail;

use std::{sync::Arc, time::Duration};

use job_runner::JobRunner;
use live_store::LiveStore;
use mailer::{MailStore, Mailer};
use service_runtime::{PublicAddress, Runtime, SecretString};
use stream_processor::{DeadLetterPolicy, Processor, ProcessorConfig, StoreCalls};

use crate::{
    alert_log::AlertLog, deliveries::Deliveries, grouping::Limits, metrics::Metrics,
    processor::AlertProcessor, prune::PruneAlerts, rule_book::RuleBook,
};

pub use config::{AlertsArgs, AlertsConfig, Recipients};

/// The name of the processor, in checkpoints.
pub const PROCESSOR: &str = AlertProcessor::NAME;

/// The topics that are read.
pub const TOPICS: [&str; 2] = [topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES];

/// A batch is applied when it holds so many ticks, or when its first one has waited for so long.
const BATCH_MAX_RECORDS: usize = 10_000;
const BATCH_MAX_AGE_MS: u64 = 10;

/// The stores of the service.
#[derive(Clone)]
pub struct Stores {
    /// Rules, alerts, checkpoints, candles.
    pub live: Arc<dyn LiveStore>,
    /// The mails that are owed; mostly the same store.
    pub mails: Arc<dyn MailStore>,
    /// URL of the analytics store, with its password. It is opened in the background: alerts and mails do not need it.
    pub analytics: SecretString,
}

/// Runs until the shutdown, then drains.
///
/// # Errors
/// A log or a store that fails permanently.
pub async fn run(
    config: AlertsConfig,
    public: PublicAddress,
    Stores { live: store, mails, analytics }: Stores,
    mailer: Mailer,
    runtime: Runtime,
) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new(&runtime.status));
    let calls = Arc::new(StoreCalls::new(Arc::clone(&store) as _, &runtime));
    let rules = Arc::new(RuleBook::open(Arc::clone(&store), &house::rules(&config)?, &runtime).await?);
    let processor =
        AlertProcessor::new(Arc::clone(&store), Arc::clone(&rules), &*runtime.log, Arc::clone(&metrics))?;
    let reading = ProcessorConfig {
        group: config.group.clone(),
        topics: TOPICS.iter().map(ToString::to_string).collect(),
        batch_max_records: BATCH_MAX_RECORDS,
        batch_max_age: Duration::from_millis(BATCH_MAX_AGE_MS),
        // The consumer publishes them.
        dead_letters: DeadLetterPolicy::Count,
    };
    let deliveries = Deliveries::new(
        public.url(),
        Limits::of(&config),
        Arc::clone(&store),
        Arc::clone(&mails),
        &runtime,
        Arc::clone(&metrics),
    );
    let log = AlertLog::new(analytics, Arc::clone(&store), &runtime, metrics);
    let prune = PruneAlerts::new(Arc::clone(&store))?;

    let mut tasks = runtime.tasks();
    tasks.spawn("alert rules", rules.poll(runtime.shutdown.clone()));
    let processing = stream_processor::run(processor, reading, Arc::clone(&calls), runtime.clone());
    tasks.spawn("alerts", processing);
    tasks.spawn("alerts store", calls.watch(PROCESSOR));
    tasks.spawn("alert deliveries", deliveries.run(runtime.shutdown.clone()));
    tasks.spawn("alert log", log.run(runtime.shutdown.clone()));
    tasks.spawn("alert mails", mailer::run_sender(mails, mailer, runtime.clone()));
    let health = runtime.status.secondary_component("prune alerts");
    let jobs =
        JobRunner::new(prune, store as _, runtime.status.instance()).reporting(move |state| match state {
            Ok(detail) => health.up(detail),
            Err(reason) => health.down(reason),
        });
    let shutdown = runtime.shutdown.clone();
    tasks.spawn("pruning alerts", async move {
        jobs.run(shutdown).await;
        Ok(())
    });
    tasks.join().await
}
