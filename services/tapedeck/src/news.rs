//! `tapedeck news`: news by hand.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context;
use live_store::AlphaVantageAccount;
use market::Watchlist;
use news::{Addresses, DigestConfig, NewsCommand, NewsConfig, Stores};
use service_runtime::{PublicAddress, install_metrics};

use crate::{batch::AnalyticsPlace, moving::StorePlace, output::print_line};

#[derive(Debug, clap::Args)]
#[command(after_long_help = news::EXIT_CODES)]
pub(crate) struct NewsArgs {
    #[command(flatten)]
    place: StorePlace,
    /// Symbols whose news are gathered [default: those of the store].
    #[arg(long, env = "WATCHLIST", value_name = "SYMBOLS", help_heading = "News", global = true)]
    watchlist: Option<Watchlist>,
    /// Addresses of the alerts, which get the digest unless --digest-recipients has others.
    #[arg(
        long,
        env = "ALERT_RECIPIENTS",
        default_value = "",
        value_name = "ADDRESSES",
        help_heading = "Digest",
        global = true,
        hide_default_value = true
    )]
    alert_recipients: Addresses,
    #[command(flatten)]
    analytics: AnalyticsPlace,
    #[command(flatten)]
    public: PublicAddress,
    #[command(flatten)]
    alpha_vantage: AlphaVantageAccount,
    #[command(flatten)]
    news: NewsConfig,
    #[command(subcommand)]
    command: NewsCommand,
}

pub(crate) async fn news(args: NewsArgs) -> anyhow::Result<ExitCode> {
    install_metrics()?;
    let analytics = match args.command {
        NewsCommand::Run => None,
        NewsCommand::Digest { .. } => Some(args.analytics.url(|| args.place.analytics_url())?),
    };
    let (live, _) = args.place.open_existing().await?;
    let stores = Stores { live: Arc::clone(&live), analytics: analytics.map(news::open_analytics) };
    let (alert_recipients, public_url) = (args.alert_recipients.0, args.public.url());
    let digest = DigestConfig { alert_recipients, public_url, ..args.news.digest };
    let config =
        NewsConfig { watchlist: args.watchlist, digest, alpha_vantage: args.alpha_vantage, ..args.news };
    let owner = format!("tapedeck-news-{}", std::process::id());
    let done = news::execute(args.command, config, stores, &owner).await;
    live.close().await.context("the live store was not closed in order")?;
    let done = done?;
    print_line(&done.text)?;
    Ok(if done.is_complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
