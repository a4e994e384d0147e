//! The web service as a process of its own.

use clap::Parser;
use service_runtime::{Tasks, heartbeat, open_store, start};
use web::{WebArgs, bind, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = WebArgs::parse();
    let listener = bind(args.web.listen).await?;
    let runtime = start("web", args.log_format, &args.log).await?;
    let store = open_store(&args.store.url()?).await?;
    let mut tasks = Tasks::new(runtime.shutdown.clone());
    tasks.spawn("heartbeat", heartbeat(runtime.clone()));
    tasks.spawn("web", run(args.into_config(), listener, store, runtime));
    tasks.join().await
}
