//! The web service as a process of its own.

use clap::Parser;
use service_runtime::{ProcessRuntime, init_logs, run_service};
use web::{StartingPages, WebArgs};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = WebArgs::parse();
    // The address first: it is the likeliest thing to be in use.
    let listener = web::bind(args.web.listen).await?;
    let (log, store) = (args.log.url()?, args.store.url()?);
    let logs = init_logs("web", &args.log_output)?;
    let process = ProcessRuntime::start("web")?;
    let config = args.into_config()?;
    let pages = StartingPages::serve(&config, listener, process.for_service("web"));
    let runtime = process.open_log(&log).await?;
    let run = |runtime| web::run_process(config, pages, store, runtime);
    run_service("web", &logs, runtime, None, run).await
}
