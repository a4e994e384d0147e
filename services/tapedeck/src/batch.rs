//! `tapedeck batch`: the nightly aggregation by hand, and the analytics store of a data folder.

use std::process::ExitCode;

use analytics_store::{AnalyticsError, AnalyticsPassword, AnalyticsStore};
use batch::{BatchCommand, BatchConfig};
use service_runtime::{ExposeSecret, SecretString, cancel_on_signals, install_metrics, open_patiently};
use tokio_util::sync::CancellationToken;

use crate::{moving::StorePlace, output::print_line};

#[derive(Debug, clap::Args)]
#[command(after_long_help = batch::EXIT_CODES)]
pub(crate) struct BatchArgs {
    #[command(flatten)]
    place: StorePlace,
    #[command(flatten)]
    analytics: AnalyticsPlace,
    #[command(flatten)]
    batch: BatchConfig,
    #[command(subcommand)]
    command: BatchCommand,
}

/// Location of the analytics store.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Analytics store")]
pub(crate) struct AnalyticsPlace {
    /// Analytics store instead of analytics.db in the data folder: mysql://host[:port][/database][?ssl-mode=...] or sqlite:PATH.
    #[arg(long, env = "ANALYTICS_URL", value_name = "URL", hide_env_values = true, global = true)]
    analytics: Option<SecretString>,
    /// Its password, if the URL has none.
    #[command(flatten)]
    password: AnalyticsPassword,
}

impl AnalyticsPlace {
    /// The URL of flag or variable, with its password, or the one that is given.
    pub(crate) fn url(
        &self,
        default: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<SecretString> {
        match &self.analytics {
            Some(url) => Ok(self.password.fill(url)?),
            None => Ok(default()?.into()),
        }
    }
}

pub(crate) async fn batch(
    BatchArgs { place, analytics, batch, command }: BatchArgs,
) -> anyhow::Result<ExitCode> {
    install_metrics()?;
    let shutdown = CancellationToken::new();
    cancel_on_signals(shutdown.clone())?;
    let url = analytics.url(|| place.analytics_url())?;
    let (store, _) = place.open_existing().await?;
    let analytics = open(&url).await?;
    let owner = format!("tapedeck-batch-{}", std::process::id());
    let done = batch::execute_and_close(command, batch, store, analytics, &owner, shutdown).await?;
    print_line(&done.text)?;
    Ok(if done.is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn open(url: &SecretString) -> anyhow::Result<AnalyticsStore> {
    let open = || analytics_store::open(url.expose_secret());
    open_patiently("analytics store", "--analytics, ANALYTICS_URL", AnalyticsError::is_transient, open).await
}
