//! The producer as a process of its own.

use anyhow::Context;
use clap::Parser;
use producer::ProducerArgs;
use service_runtime::{Tasks, heartbeat, serve_admin, start};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = ProducerArgs::parse();
    let runtime = start("producer", args.log_format, &args.log).await?;
    let choice = producer::choose(&args.producer).await?;
    let choice = choice.kept_apart(&args.producer, &*runtime.log).await?;
    for note in &choice.notes {
        tracing::warn!("{note}");
    }
    let mut tasks = Tasks::new(runtime.shutdown.clone());
    tasks.spawn("health", serve_admin(args.listen, runtime.status.clone(), runtime.shutdown.clone()));
    tasks.spawn("heartbeat", heartbeat(runtime.clone()));
    tasks.spawn("producer", producer::run(args.producer, choice, runtime));
    tasks.join().await.context("the producer stopped")
}
