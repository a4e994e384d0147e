//! Ticks from the event log into the live store, and the candles built from them.
//!
//! No tick is lost and none is stored twice, whatever is killed: ticks are stored under their identity, and everything else is
//! the contract of [`stream_processor`].

mod candle_state;
mod config;
mod metrics;
mod quoted_candles;
mod settle;
mod ticks;

use std::{sync::Arc, time::Duration};

use event_log::EventLog;
use job_runner::JobRunner;
use live_store::LiveStore;
use service_runtime::Runtime;
use stream_processor::{DeadLetterPolicy, Processor, ProcessorConfig, StoreCalls};

use crate::{metrics::Metrics, quoted_candles::QuotedCandles, settle::Settle, ticks::Ticks};

pub use config::{ConsumerArgs, ConsumerConfig};

/// The name of the processor of ticks, in checkpoints.
pub const PROCESSOR: &str = Ticks::NAME;

/// The topics of ticks.
const TICKS: &[&str] = &[topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES];
/// And of the candles that providers quote.
const QUOTED_CANDLES: &[&str] = &[topics::quoted_candle::TOPIC];

/// The groups in which a consumer of `group` reads, and their topics. Candles have one of their own: replicas share the partitions
/// of a group by number, whatever is in them, so that in a common one some would get the ticks and some the candles.
pub fn groups(group: &str) -> [(String, &'static [&'static str]); 2] {
    [(group.to_owned(), TICKS), (format!("{group}-candles"), QUOTED_CANDLES)]
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
/// A log or a store that fails permanently.
pub async fn run(config: ConsumerConfig, store: Arc<dyn LiveStore>, runtime: Runtime) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new(&runtime.status));
    let calls = Arc::new(StoreCalls::new(Arc::clone(&store) as _, &runtime));
    let ticks = Ticks::new(Arc::clone(&store), &*runtime.log, Arc::clone(&metrics))?;
    let quoted = QuotedCandles::new(Arc::clone(&store), metrics);
    let [of_ticks, of_candles] = groups(&config.group).map(|(group, topics)| ProcessorConfig {
        group,
        topics: topics.iter().map(ToString::to_string).collect(),
        batch_max_records: config.batch_max_messages as usize,
        batch_max_age: Duration::from_millis(config.batch_max_age_ms),
        dead_letters: DeadLetterPolicy::Publish,
    });

    let mut tasks = runtime.tasks();
    let of_runtime = || (Arc::clone(&calls), runtime.clone());
    let (store_calls, its_runtime) = of_runtime();
    tasks.spawn("consumer ticks", stream_processor::run(ticks, of_ticks, store_calls, its_runtime));
    let (store_calls, its_runtime) = of_runtime();
    tasks.spawn(
        "consumer quoted candles",
        stream_processor::run(quoted, of_candles, store_calls, its_runtime),
    );
    tasks.spawn("consumer store", calls.watch(PROCESSOR));
    // A component of its own: while the job fails, the service goes on.
    let health = runtime.status.secondary_component(settle::NAME);
    let settle = JobRunner::new(Settle::new(Arc::clone(&store))?, store as _, runtime.status.instance());
    let settle = settle.reporting(move |state| health.set_state(state));
    let shutdown = runtime.shutdown.clone();
    tasks.spawn("consumer settling", async move {
        settle.run(shutdown).await;
        Ok(())
    });
    tasks.join().await
}
