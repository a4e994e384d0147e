//! The consumer as a process of its own.

use anyhow::Context;
use clap::Parser;
use consumer::ConsumerArgs;
use live_store::LiveStoreError;
use service_runtime::{ExposeSecret, Tasks, heartbeat, open_patiently, serve_admin, start};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = ConsumerArgs::parse();
    let runtime = start("consumer", args.log_format, &args.log).await?;
    let url = args.store.url()?;
    let store = open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, || {
        live_store::open(url.expose_secret())
    })
    .await?;
    let mut tasks = Tasks::new(runtime.shutdown.clone());
    tasks.spawn("health", serve_admin(args.listen, runtime.status.clone(), runtime.shutdown.clone()));
    tasks.spawn("heartbeat", heartbeat(runtime.clone()));
    tasks.spawn("consumer", consumer::run(args.consumer, store, runtime));
    tasks.join().await.context("the consumer stopped")
}
