//! The pages as a process of their own.

use clap::Parser;
use live_store::LiveStoreError;
use service_runtime::{ExposeSecret, Tasks, heartbeat, open_patiently, start};
use web::{WebArgs, bind, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = WebArgs::parse();
    let listener = bind(args.web.listen).await?;
    let runtime = start("web", args.log_format, &args.log).await?;
    let url = args.store.url()?;
    let store = open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, || {
        live_store::open(url.expose_secret())
    })
    .await?;
    let mut tasks = Tasks::new(runtime.shutdown.clone());
    tasks.spawn("heartbeat", heartbeat(runtime.clone()));
    tasks.spawn("web", run(args.into_config(), listener, store, runtime));
    tasks.join().await
}
