//! The web service as a process of its own.

use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use live_store::LiveStoreError;
use service_runtime::{ExposeSecret, open_patiently};
use web::{WebArgs, bind, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = WebArgs::parse();
    // The address first: it is the likeliest thing to be in use.
    let listener = bind(args.web.listen).await?;
    let (log, url, format) = (args.log.clone(), args.store.url()?, args.log_format);
    service_runtime::main("web", format, &log, None, |runtime| async move {
        let open = || live_store::open(url.expose_secret());
        let store =
            open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open).await?;
        let done = run(args.into_config(), listener, Arc::clone(&store), runtime).await;
        done.and(store.close().await.context("the live store was not closed in order"))
    })
    .await
}
