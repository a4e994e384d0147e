//! `tapedeck demo`: the pages over daily candles of the past that the program contains, without a network.
//!
//! Everything is in a temporary folder, so that these prices share no store with those of a data folder.

use std::{path::Path, sync::Arc, time::Instant};

use analytics_store::AnalyticsStore;
use anyhow::{Context, anyhow, bail};
use batch::{BatchCommand, BatchConfig};
use chrono::NaiveDate;
use live_store::LiveStore;
use market::{Candle, Watchlist};
use service_runtime::{ProcessRuntime, Runtime, heartbeat};
use tokio_util::sync::CancellationToken;
use topics::names::service;
use web::{StartingPages, WebConfig};

use crate::{
    data_dir::{analytics_url, log_url, store_url},
    output::{note, print_line},
    run::Opened,
};

/// Names and contents of the files in `examples/`.
const EXAMPLES: [(&str, &str); 10] = [
    ("AAPL.csv", include_str!("../../../examples/AAPL.csv")),
    ("AMZN.csv", include_str!("../../../examples/AMZN.csv")),
    ("BTC-USDT.csv", include_str!("../../../examples/BTC-USDT.csv")),
    ("ETH-USDT.csv", include_str!("../../../examples/ETH-USDT.csv")),
    ("GOOGL.csv", include_str!("../../../examples/GOOGL.csv")),
    ("JPM.csv", include_str!("../../../examples/JPM.csv")),
    ("MSFT.csv", include_str!("../../../examples/MSFT.csv")),
    ("NVDA.csv", include_str!("../../../examples/NVDA.csv")),
    ("QQQ.csv", include_str!("../../../examples/QQQ.csv")),
    ("TSLA.csv", include_str!("../../../examples/TSLA.csv")),
];

#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    web: WebConfig,
}

pub(crate) async fn demo(DemoArgs { web }: DemoArgs) -> anyhow::Result<()> {
    let begun = Instant::now();
    // The port first: the most likely conflict.
    let listener = web::bind(web.listen).await?;
    let address = listener.local_addr().context("cannot read the address")?;
    let examples = Examples::read()?;
    note(format_args!("Tapedeck {}: computing the days of {examples}", env!("CARGO_PKG_VERSION")))?;

    let process = ProcessRuntime::start("tapedeck-demo")?;
    let folder = tempfile::Builder::new().prefix("tapedeck-demo-").tempdir();
    let folder = folder.context("cannot create a temporary folder; set another place with TMPDIR")?;
    let web = WebConfig {
        watchlist: Some(examples.watchlist()?),
        analytics: Some(analytics_url(folder.path()).into()),
        is_historical: true,
        ..web
    };
    // Until the days are computed the pages show that the service is starting.
    let pages = StartingPages::serve(&web, listener, process.for_service(service::WEB));
    let runtime = process.open_log(&log_url(folder.path()).into()).await?;
    let store =
        live_store::open_alone(&store_url(folder.path())).await.context("cannot open the live store")?;
    let opened = Opened { log: Arc::clone(&runtime.log), store: Arc::clone(&store) };
    let filled = CancellationToken::new();
    let (of_pages, until) = (Arc::clone(&store), filled.clone());
    let open = move || {
        let (store, filled) = (Arc::clone(&of_pages), until.clone());
        async move {
            filled.cancelled().await;
            Ok(store)
        }
    };
    let mut tasks = runtime.tasks();
    tasks.spawn("heartbeat", heartbeat(runtime.clone()));
    tasks.spawn(service::WEB, web::run(web, pages, open, runtime.for_service(service::WEB)));
    let path = folder.path().to_owned();
    tasks.spawn("demo", async move {
        fill(&path, store, &examples.candles, &runtime).await?;
        filled.cancel();
        print_line(format_args!(
            "the pages are at http://{address}/dashboard after {:.1} s; the prices are historical; stop with Ctrl-C",
            begun.elapsed().as_secs_f64()
        ))?;
        runtime.shutdown.cancelled().await;
        Ok(())
    });
    opened.close(tasks.join().await).await
}

/// Stores the candles, and aggregates their days.
async fn fill(
    folder: &Path,
    store: Arc<dyn LiveStore>,
    candles: &[Candle],
    runtime: &Runtime,
) -> anyhow::Result<()> {
    store.write_candles(candles).await.context("cannot store the examples")?;
    let analytics: AnalyticsStore =
        analytics_store::open(&analytics_url(folder)).await.context("cannot open the analytics store")?;
    let analytics = Arc::new(analytics);
    let run = BatchCommand::Run { date: None, symbol: None, dry_run: false };
    let done = batch::execute(
        run,
        BatchConfig::default(),
        store,
        Arc::clone(&analytics),
        "tapedeck-demo",
        runtime.shutdown.clone(),
    )
    .await;
    analytics.close().await.context("the analytics store was not closed in order")?;
    let done = done?;
    // A run that was stopped is not complete either.
    if !done.is_complete && !runtime.shutdown.is_cancelled() {
        bail!("the days of the examples were not computed:\n{}", done.text);
    }
    Ok(())
}

/// The daily candles of all examples.
struct Examples {
    candles: Vec<Candle>,
    first: NaiveDate,
    last: NaiveDate,
}

impl Examples {
    fn read() -> anyhow::Result<Self> {
        let mut candles = Vec::new();
        for (name, text) in EXAMPLES {
            candles.extend(producer::daily_candles(name, text)?);
        }
        let dates = || candles.iter().map(|candle| candle.time.date_naive());
        let (first, last) = dates().min().zip(dates().max()).context("the examples have no candles")?;
        Ok(Self { candles, first, last })
    }

    fn watchlist(&self) -> anyhow::Result<Watchlist> {
        let mut symbols: Vec<&str> = self.candles.iter().map(|candle| candle.symbol.as_str()).collect();
        symbols.dedup();
        symbols.join(",").parse().map_err(|reason: String| anyhow!("the symbols of the examples: {reason}"))
    }
}

impl std::fmt::Display for Examples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} symbols, from {} to {}", EXAMPLES.len(), self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_part_of_the_program_and_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
            .filter(|name| name.rsplit_once('.').is_some_and(|(_, end)| end == "csv"))
            .collect();
        files.sort();
        assert_eq!(files, EXAMPLES.map(|(name, _)| name));
        let examples = Examples::read().expect("they are read");
        assert_eq!(examples.to_string(), "10 symbols, from 2021-03-01 to 2023-02-28");
        assert_eq!(examples.watchlist().expect("a list").symbols().len(), EXAMPLES.len());
        assert_eq!(examples.candles.len(), 8 * 504 + 2 * 305);
    }
}
