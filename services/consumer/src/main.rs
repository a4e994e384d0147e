//! The consumer as a process of its own.

use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use consumer::ConsumerArgs;
use live_store::LiveStoreError;
use service_runtime::{ExposeSecret, open_patiently};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let ConsumerArgs { log, store, listen, log_output, consumer } = ConsumerArgs::parse();
    service_runtime::main("consumer", &log_output, &log, Some(listen), |runtime| async move {
        let url = store.url()?;
        let open = || live_store::open(url.expose_secret());
        let store =
            open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open).await?;
        let done = consumer::run(consumer, Arc::clone(&store), runtime).await;
        done.and(store.close().await.context("the live store was not closed in order"))
    })
    .await
}
