//! The whole embedded path: simulated feed -> log -> consumer -> store, every commit durable; beside the store alone,
//! which is the part that cannot be spared.

use std::time::{Duration, Instant};

use anyhow::Context;
use benches::{print_ratio, rate, tick};
use chrono::{TimeDelta, Utc};
use clap::Parser;
use consumer::ConsumerConfig;
use live_store::{LiveStore, StoredTick};
use producer::ProducerConfig;
use service_runtime::{Runtime, Status, install_metrics};
use tokio_util::sync::CancellationToken;

/// Ticks in one write of the store alone, as the consumer batches them.
const BATCH: u64 = 5_000;

#[derive(Parser)]
struct Args {
    /// How long the feed runs, in seconds; what is still on the way then is waited for, and counts in the time.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Where the files go; the temporary folder when left out.
    #[arg(long)]
    dir: Option<std::path::PathBuf>,
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    producer: ProducerConfig,
    #[command(flatten)]
    consumer: ConsumerConfig,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    install_metrics()?;
    let dir = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let url = |file: &str| format!("sqlite:{}", dir.path().join(file).display());
    let (stored, took) =
        pipeline(&url("log.db"), &url("store.db"), Duration::from_secs(args.seconds)).await?;
    let store = live_store::open(&url("alone.db")).await?;
    let alone = store_alone(&*store, stored.clamp(BATCH, 1_000_000)).await?;
    print_ratio("feed -> log -> consumer -> store", rate(stored, took), "the store alone", alone);
    Ok(())
}

/// How many ticks were stored, and in what time.
async fn pipeline(log: &str, store: &str, run_for: Duration) -> anyhow::Result<(u64, Duration)> {
    let watchlist: Vec<String> = (0..benches::SYMBOLS).map(|n| format!("S{n:03}")).collect();
    let settings = Settings::parse_from([
        "bench",
        "--provider",
        "simulated",
        "--simulated-rate",
        "1000000",
        "--simulated-seed",
        "1",
        "--watchlist",
        &watchlist.join(","),
    ]);
    let feed_stops = CancellationToken::new();
    let log = event_log::open(log).await?;
    service_runtime::create_topics(&*log).await?;
    let runtime = Runtime {
        log,
        status: Status::new("bench", "bench", Utc::now()),
        shutdown: CancellationToken::new(),
    };
    let feeding = Runtime { shutdown: feed_stops.clone(), ..runtime.clone() };
    let choice = producer::choose(&settings.producer).await?;
    let group = settings.consumer.group.clone();
    let consuming =
        tokio::spawn(consumer::run(settings.consumer, live_store::open(store).await?, runtime.clone()));
    let begun = Instant::now();
    let producing = tokio::spawn(producer::run(settings.producer, choice, None, feeding));
    tokio::time::sleep(run_for).await;
    feed_stops.cancel();
    producing.await?.context("the producer failed")?;
    let deadline = Instant::now() + Duration::from_mins(2);
    while consumer::lag(&*runtime.log, &group).await? > 0 {
        anyhow::ensure!(Instant::now() < deadline, "the consumer did not catch up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = begun.elapsed();
    let figures = runtime.status.snapshot(Utc::now()).figures;
    runtime.shutdown.cancel();
    consuming.await?.context("the consumer failed")?;
    let figure = |name: &str| figures.get(name).copied().unwrap_or(0.0);
    println!(
        "stored {:.0}, late {:.0}, duplicate {:.0}; feed -> stored p50 {:.0} ms, p99 {:.0} ms (at full load)",
        figure("tapedeck_ticks_stored_total"),
        figure("tapedeck_ticks_late_total"),
        figure("tapedeck_ticks_duplicate_total"),
        figure("tapedeck_feed_stored_p50_ms"),
        figure("tapedeck_feed_stored_p99_ms"),
    );
    Ok((figure("tapedeck_ticks_stored_total") as u64, took))
}

async fn store_alone(store: &dyn LiveStore, ticks: u64) -> anyhow::Result<f64> {
    let start = Utc::now() - TimeDelta::hours(1);
    let mut batches = Vec::new();
    for first in (0..ticks).step_by(BATCH as usize) {
        let stored = |n| {
            let tick = tick(n, start)?;
            anyhow::Ok(StoredTick { tick, processed_at: tick.received_at, partition: 0, offset: n })
        };
        batches.push((first..(first + BATCH).min(ticks)).map(stored).collect::<anyhow::Result<Vec<_>>>()?);
    }
    let begun = Instant::now();
    for batch in &batches {
        store.write_ticks(batch).await?;
    }
    Ok(rate(ticks, begun.elapsed()))
}
