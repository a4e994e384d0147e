//! Alerts as a process of their own.

use std::sync::Arc;

use alerts::{AlertsArgs, Stores};
use anyhow::Context;
use clap::Parser;
use live_store::LiveStoreError;
use mailer::Mailer;
use service_runtime::{ExposeSecret, open_patiently};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let AlertsArgs { log, store, analytics, mail, public, listen, log_output, alerts } = AlertsArgs::parse();
    service_runtime::main("alerts", &log_output, &log, Some(listen), |runtime| async move {
        let url = store.url()?;
        let open = || live_store::open(url.expose_secret());
        let store =
            open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open).await?;
        let stores =
            Stores { live: Arc::clone(&store), mails: Arc::clone(&store) as _, analytics: analytics.url()? };
        let done = alerts::run(alerts, public, stores, Mailer::open(&mail)?, runtime).await;
        done.and(store.close().await.context("the live store was not closed in order"))
    })
    .await
}
