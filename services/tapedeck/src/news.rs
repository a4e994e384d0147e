//! `tapedeck news`: news by hand.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use market::Watchlist;
use news::{NewsCommand, NewsConfig};
use service_runtime::install_metrics;

use crate::{moving::StorePlace, output::print_line};

#[derive(Debug, clap::Args)]
#[command(after_long_help = news::EXIT_CODES)]
pub(crate) struct NewsArgs {
    #[command(flatten)]
    place: StorePlace,
    /// Symbols whose news are gathered [default: those of the store].
    #[arg(long, env = "WATCHLIST", value_name = "SYMBOLS", help_heading = "News", global = true)]
    watchlist: Option<Watchlist>,
    #[command(flatten)]
    news: NewsConfig,
    #[command(subcommand)]
    command: NewsCommand,
}

pub(crate) async fn news(NewsArgs { place, watchlist, news, command }: NewsArgs) -> anyhow::Result<ExitCode> {
    install_metrics()?;
    let (store, _) = place.open_existing().await?;
    let config = NewsConfig { watchlist, ..news };
    let owner = format!("tapedeck-news-{}", std::process::id());
    let done = news::execute(command, config, Arc::clone(&store), &owner).await;
    store.close().await.context("the live store was not closed in order")?;
    let done = done?;
    print_line(&done.text)?;
    Ok(if done.is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
