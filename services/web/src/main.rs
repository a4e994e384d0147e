//! The web service as a process of its own.

use std::sync::{Arc, OnceLock};

use anyhow::Context;
use clap::Parser;
use service_runtime::{ExposeSecret, ProcessRuntime, init_logs, run_service};
use web::{StartingPages, WebArgs, bind, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = WebArgs::parse();
    // The address first: it is the likeliest thing to be in use.
    let listener = bind(args.web.listen).await?;
    let (log, url) = (args.log.url()?, args.store.url()?);
    let logs = init_logs("web", &args.log_output)?;
    let process = ProcessRuntime::start("web")?;
    let config = args.into_config()?;
    let pages = StartingPages::serve(&config, listener, process.for_service("web"));
    let runtime = process.open_log(&log).await?;
    run_service("web", &logs, runtime, None, |runtime| async move {
        // Opened by the service, and closed when the service has ended.
        let opened = OnceLock::new();
        let open = || async {
            let store = live_store::open(url.expose_secret()).await?;
            Ok(Arc::clone(opened.get_or_init(|| store)))
        };
        let done = run(config, pages, open, runtime).await;
        match opened.get() {
            Some(store) => done.and(store.close().await.context("the live store was not closed in order")),
            None => done,
        }
    })
    .await
}
