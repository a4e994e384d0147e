//! The web service as a process of its own.

use clap::Parser;
use service_runtime::ExposeSecret;
use web::{WebArgs, bind, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = WebArgs::parse();
    // The address first: it is the likeliest thing to be in use.
    let listener = bind(args.web.listen).await?;
    let (log, url, format) = (args.log.clone(), args.store.url()?, args.log_format);
    service_runtime::main("web", format, &log, None, |runtime| async move {
        run(args.into_config(), listener, || live_store::open(url.expose_secret()), runtime).await
    })
    .await
}
