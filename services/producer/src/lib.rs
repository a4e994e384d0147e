//! Prices from provider feeds to the event log.
//!
//! Each feed is a task: it connects, parses (purely), and passes ticks to its outlet. When its provider sends nothing or its answers
//! cannot be read, the feed reports it and retries with growing delays. History is filled in first, so that a chart is not
//! empty.

mod auto;
mod backfill;
mod circuit;
mod config;
mod feed;
mod feed_health;
mod gaps;
mod metrics;
mod price_jump;
mod provider;
mod publish;
mod route;
mod store;
mod supervise;
mod table;
mod tails;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use live_store::LiveStore;
use market::Symbol;
use service_runtime::{Latency, Runtime};
use tokio::sync::watch;
use topics::names::figure;

pub use auto::{Choice, FeedPlan, choose};
pub use backfill::{Backfilled, MissingDays, backfill_daily};
pub use config::{DEFAULT_WATCHLIST, LedgerSettings, ProducerArgs, ProducerConfig, WatchlistParser};
pub use feed::{
    Abilities, AskSettings, HistorySettings, Prices,
    replay::{CountKnown, ReplayArgs, Report, Speed, check_files, daily_candles, replay_files},
    simulated::Sessions,
};
pub use price_jump::PriceJumpArgs;
pub use provider::{Provider, ProviderChoice, ProviderOrder, ProviderOrderError};
pub use store::with_store;
pub use table::{FeedAnswer, FeedInfo, ask_feeds, feeds};

use crate::{
    feed::{Feed, FeedContext},
    feed_health::{FeedHealth, RouteTable},
    gaps::GapSender,
    metrics::FeedMetrics,
    price_jump::PriceJumps,
    publish::{outlet, refuse_at_the_end},
};

/// Runs the chosen feeds until the shutdown; what they have sent is durable when it returns. Where several feeds may serve a symbol,
/// the first of them that has prices does. The live store, where there is one, keeps
/// circuits of feeds, gaps, and the calls of keys, see [`Choice::needs_ledger`].
///
/// # Errors
/// An event log that fails for good, and a feed without the store that it needs.
pub async fn run(
    config: ProducerConfig,
    choice: Choice,
    store: Option<Arc<dyn LiveStore>>,
    runtime: Runtime,
) -> anyhow::Result<()> {
    let latency = runtime.status.report(Arc::new(Latency::new(figure::FEED_PUBLISHED)));
    let mut tasks = runtime.tasks();
    let simulated_because = choice.simulated_because().map(str::to_owned);
    let publisher = runtime.log.publisher().context("cannot publish")?;
    let jumps = Arc::new(Mutex::new(PriceJumps::new(config.price_jumps)));
    let (to_store, writer) = gaps::writer(store.clone());
    let is_only_kind = choice.is_simulated() || simulated_because.is_none();
    let listed: Vec<_> =
        choice.feeds.iter().map(|plan| (plan.provider.name(), plan.symbols.clone())).collect();
    let table = Arc::new(RouteTable::new(&listed));
    for (number, plan) in choice.feeds.into_iter().enumerate() {
        let feed = plan.provider.feed();
        let metrics = FeedMetrics::new(&runtime.status, feed.name, &latency);
        let publisher = runtime.log.publisher().context("cannot publish")?;
        let (outlet, acknowledgements) = outlet(publisher, metrics);
        tasks.spawn("acknowledgements", acknowledgements.collect());
        let context = FeedContext {
            config: config.clone(),
            symbols: plan.symbols,
            simulated_because: simulated_because.clone(),
            is_only_kind,
            log: Arc::clone(&runtime.log),
            store: store.clone(),
            gaps: GapSender::new(to_store.clone(), outlet.metrics().clone()),
            outlet: match feed.prices {
                Prices::Live(_) => outlet.gated(Arc::clone(&table), number).watching(Arc::clone(&jumps)),
                Prices::Simulated | Prices::Recorded => outlet.gated(Arc::clone(&table), number),
            },
            health: FeedHealth::new(runtime.status.component(feed.task), Arc::clone(&table), number),
            shutdown: runtime.shutdown.clone(),
        };
        let followed = table.followed(number).context("a feed without routes")?;
        tasks.spawn(feed.task, follow(feed, context, followed));
    }
    // The writer ends when the feeds are gone.
    drop(to_store);
    if let Some(writer) = writer {
        tasks.spawn("gaps", writer.write(runtime.shutdown.clone()));
    }
    tasks.spawn("routes", async move { table.keep(runtime.shutdown).await });
    tasks.join().await?;
    let waiting = jumps.lock().unwrap_or_else(PoisonError::into_inner).drain();
    refuse_at_the_end(&*publisher, &waiting).await
}

/// Runs a feed with the symbols that it is to follow, and again with others when these change.
async fn follow(
    feed: &'static Feed,
    context: FeedContext,
    mut followed: watch::Receiver<Vec<Symbol>>,
) -> anyhow::Result<()> {
    if feed.prices == Prices::Recorded {
        return (feed.run)(context).await;
    }
    let mut stands_by = true;
    loop {
        let symbols = followed.borrow_and_update().clone();
        if symbols.is_empty() {
            stands_by = true;
            context.health.stands_by();
            tokio::select! {
                changed = followed.changed() => changed.context("the routes have ended")?,
                () = context.shutdown.cancelled() => return Ok(()),
            }
            continue;
        }
        if std::mem::take(&mut stands_by) {
            context.health.starts();
        }
        let shutdown = context.shutdown.child_token();
        let mut running = (feed.run)(FeedContext { symbols, shutdown: shutdown.clone(), ..context.clone() });
        tokio::select! {
            ended = &mut running => return ended,
            changed = followed.changed() => {
                shutdown.cancel();
                running.await?;
                changed.context("the routes have ended")?;
            }
        }
    }
}
