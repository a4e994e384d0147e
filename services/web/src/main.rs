//! The web service as a process of its own.

use std::sync::{Arc, OnceLock};

use anyhow::Context;
use clap::Parser;
use service_runtime::ExposeSecret;
use web::{WebArgs, bind, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = WebArgs::parse();
    // The address first: it is the likeliest thing to be in use.
    let listener = bind(args.web.listen).await?;
    let (log, url, output) = (args.log.clone(), args.store.url()?, args.log_output.clone());
    service_runtime::main("web", &output, &log, None, |runtime| async move {
        // Opened by the service, and closed when the service has ended.
        let opened = OnceLock::new();
        let open = || async {
            let store = live_store::open(url.expose_secret()).await?;
            Ok(Arc::clone(opened.get_or_init(|| store)))
        };
        let done = run(args.into_config(), listener, open, runtime).await;
        match opened.get() {
            Some(store) => done.and(store.close().await.context("the live store was not closed in order")),
            None => done,
        }
    })
    .await
}
