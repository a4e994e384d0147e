//! Prices from provider feeds to the event log.
//!
//! Each feed is a task: it connects, parses (purely), and passes ticks to its outlet. When its provider sends nothing or its answers
//! cannot be read, the feed reports it and retries with growing delays. History is filled in first, so that a chart is not
//! empty.

mod auto;
mod backfill;
mod config;
mod feed;
mod ledger;
mod metrics;
mod provider;
mod publish;
mod supervise;
mod table;
mod tails;

use std::sync::Arc;

use anyhow::Context;
use live_store::KeyCallStore;
use service_runtime::{Latency, Runtime};
use topics::names::figure;

pub use auto::{Choice, FeedPlan, choose};
pub use backfill::{Backfilled, MissingDays, backfill_daily};
pub use config::{DEFAULT_WATCHLIST, LedgerSettings, ProducerArgs, ProducerConfig, WatchlistParser};
pub use feed::{
    Abilities, AskSettings, HistorySettings, Prices,
    replay::{CountKnown, ReplayArgs, Report, Speed, check_files, daily_candles, replay_files},
    simulated::Sessions,
};
pub use ledger::with_ledger;
pub use provider::{Provider, ProviderChoice};
pub use table::{FeedAnswer, FeedInfo, ask_feeds, feeds};

use crate::{feed::FeedContext, metrics::FeedMetrics, publish::outlet};

/// Runs the chosen feeds until the shutdown; what they have sent is durable when it returns. `ledger` is where feeds with a key
/// count their calls, see [`Choice::needs_ledger`].
///
/// # Errors
/// An event log that fails for good, and a feed without the ledger that it needs.
pub async fn run(
    config: ProducerConfig,
    choice: Choice,
    ledger: Option<Arc<dyn KeyCallStore>>,
    runtime: Runtime,
) -> anyhow::Result<()> {
    let latency = runtime.status.report(Arc::new(Latency::new(figure::FEED_PUBLISHED)));
    let mut tasks = runtime.tasks();
    let simulated_because = choice.simulated_because().map(str::to_owned);
    for plan in choice.feeds {
        let feed = plan.provider.feed();
        let metrics = FeedMetrics::new(&runtime.status, feed.name, &latency);
        let health = runtime.status.component(feed.task);
        let publisher = runtime.log.publisher().context("cannot publish")?;
        let (outlet, acknowledgements) = outlet(publisher, metrics);
        tasks.spawn("acknowledgements", acknowledgements.collect());
        let context = FeedContext {
            config: config.clone(),
            symbols: plan.symbols,
            simulated_because: simulated_because.clone(),
            log: Arc::clone(&runtime.log),
            ledger: ledger.clone(),
            outlet,
            health,
            shutdown: runtime.shutdown.clone(),
        };
        tasks.spawn(feed.task, (feed.run)(context));
    }
    tasks.join().await
}
