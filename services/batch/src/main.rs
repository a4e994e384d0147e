//! The batch as a program of its own.

use std::{process::ExitCode, sync::Arc};

use analytics_store::AnalyticsError;
use anyhow::Context;
use batch::BatchArgs;
use clap::Parser;
use live_store::LiveStoreError;
use service_runtime::{ExposeSecret, cancel_on_signals, init_logs, install_metrics, open_patiently};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let BatchArgs { store, analytics, log_format, command } = BatchArgs::parse();
    let _logs = init_logs(log_format)?;
    install_metrics()?;
    let shutdown = CancellationToken::new();
    cancel_on_signals(shutdown.clone())?;
    let url = store.url()?;
    let open = || live_store::open(url.expose_secret());
    let store =
        open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open).await?;
    let url = analytics.url()?;
    let open = || analytics_store::open(url.expose_secret());
    let setting = "--analytics, ANALYTICS_URL";
    let analytics = open_patiently("analytics store", setting, AnalyticsError::is_transient, open).await?;
    let analytics = Arc::new(analytics);
    let owner = format!("batch-{}", std::process::id());
    let done = batch::execute(command, Arc::clone(&store), Arc::clone(&analytics), &owner, shutdown).await;
    analytics.close().await.context("the analytics store was not closed in order")?;
    store.close().await.context("the live store was not closed in order")?;
    let done = done?;
    println!("{}", done.text);
    Ok(if done.is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
