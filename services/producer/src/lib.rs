//! Prices from provider feeds to the event log.
//!
//! Each feed is a task: it connects, parses (purely), and hands ticks to its outlet; when its provider falls silent or
//! answers nonsense it says so and tries again, later and later. History is filled in first, so that a chart is never
//! empty.

mod auto;
mod config;
mod feed;
mod metrics;
mod publish;
mod supervise;
mod tails;

use std::sync::Arc;

use anyhow::Context;
use service_runtime::{Latency, Runtime};
use topics::names::{component, figure};

pub use auto::{Choice, FeedPlan, choose};
pub use config::{ProducerArgs, ProducerConfig, Provider, ProviderChoice, Sessions, Speed};
pub use feed::replay::{Report, replay_files};

use crate::{metrics::FeedMetrics, publish::outlet};

/// Runs the chosen feeds until the shutdown; what they have sent is durable when it returns.
///
/// # Errors
/// An event log that fails for good.
pub async fn run(config: ProducerConfig, choice: Choice, runtime: Runtime) -> anyhow::Result<()> {
    let latency = runtime.status.report(Arc::new(Latency::new(figure::FEED_PUBLISHED)));
    let mut tasks = runtime.tasks();
    for plan in choice.feeds {
        let name = plan.provider.to_string();
        let metrics = FeedMetrics::new(&runtime.status, &name, &latency);
        let health = runtime.status.component(&format!("{}{name}", component::FEED_PREFIX));
        let publisher = runtime.log.publisher().context("cannot publish")?;
        let (outlet, acknowledgements) = outlet(publisher, metrics);
        tasks.spawn("acknowledgements", acknowledgements.collect());
        let (config, runtime) = (config.clone(), runtime.clone());
        match plan.provider {
            Provider::Simulated => {
                let settings = feed::simulated::Settings {
                    symbols: plan.symbols,
                    rate: config.rate,
                    seed: config.seed,
                    sessions: config.sessions,
                };
                let run = feed::simulated::run(settings, runtime.log, outlet, health, runtime.shutdown);
                tasks.spawn("feed simulated", run);
            }
            Provider::Binance => {
                let run = feed::binance::run(config, plan.symbols, outlet, health, runtime.shutdown);
                tasks.spawn("feed binance", run);
            }
            Provider::Yahoo => {
                let run =
                    feed::yahoo::run(config, plan.symbols, runtime.log, outlet, health, runtime.shutdown);
                tasks.spawn("feed yahoo", run);
            }
            Provider::Replay => {
                let run = feed::replay::run(config.files, config.speed, outlet, health, runtime.shutdown);
                tasks.spawn("feed replay", run);
            }
        }
    }
    tasks.join().await
}
