//! The consumer as a process of its own.

use anyhow::Context;
use clap::Parser;
use consumer::ConsumerArgs;
use service_runtime::{Tasks, heartbeat, open_store, serve_admin, start};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = ConsumerArgs::parse();
    let runtime = start("consumer", args.log_format, &args.log).await?;
    let store = open_store(&args.store.url()?).await?;
    let mut tasks = Tasks::new(runtime.shutdown.clone());
    tasks.spawn("health", serve_admin(args.listen, runtime.status.clone(), runtime.shutdown.clone()));
    tasks.spawn("heartbeat", heartbeat(runtime.clone()));
    tasks.spawn("consumer", consumer::run(args.consumer, store, runtime));
    tasks.join().await.context("the consumer stopped")
}
