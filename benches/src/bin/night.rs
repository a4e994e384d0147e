//! A night: the aggregation of one day of 100 pairs from an embedded live store into a new analytics store, beside a bare read of the
//! same ticks. Both are measured in turn; the median counts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;
use batch::{BatchArgs, BatchCommand, execute};
use benches::{print_ratio, rate};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use clap::Parser;
use futures_util::TryStreamExt;
use live_store::{LiveStore, StoredTick};
use market::{CandleBuilder, CandleTiming, Interval, Source, Symbol, Tick, TickFields, parse_decimal};
use tokio_util::sync::CancellationToken;

const SYMBOLS: u64 = 100;
/// Ticks in one write.
const BATCH: u64 = 5_000;
const DAY_MS: u64 = 86_400_000;

#[derive(Parser)]
struct Args {
    /// Ticks of the day, over all pairs.
    #[arg(long, default_value_t = 1_000_000)]
    ticks: u64,
    /// Measurements of each kind; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let dir = tempfile::tempdir()?;
    let url = |file: &str| format!("sqlite:{}", dir.path().join(file).display());
    let store = live_store::open(&url("store.db")).await?;
    let date: NaiveDate = "2026-01-13".parse()?;
    fill(&*store, date, args.ticks).await?;
    let (mut nights, mut reads) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let begun = Instant::now();
        let read = live_store::all_ticks_of_day(&*store, date)
            .try_fold(0, async |count: u64, _| Ok(count + 1))
            .await?;
        reads.push(begun.elapsed());
        ensure!(read == args.ticks, "{read} of {} ticks are stored", args.ticks);

        let analytics = Arc::new(analytics_store::open(&url(&format!("analytics-{round}.db"))).await?);
        let command = BatchCommand::Run { date: Some(date), symbol: None, dry_run: false };
        let config =
            BatchArgs::parse_from(["batch", "--store", "sqlite:x", "--analytics", "sqlite:y", "prune"]).batch;
        let begun = Instant::now();
        let outcome = execute(
            command,
            config,
            Arc::clone(&store),
            Arc::clone(&analytics),
            "bench",
            CancellationToken::new(),
        )
        .await?;
        nights.push(begun.elapsed());
        ensure!(outcome.is_complete, "{}", outcome.text);
        analytics.close().await?;
    }
    let (night, read) = (median(nights), median(reads));
    println!(
        "{} ticks of {SYMBOLS} pairs: night {night:.2?}, bare read {read:.2?}, {:.2} times",
        args.ticks,
        night.as_secs_f64() / read.as_secs_f64()
    );
    print_ratio("night", rate(args.ticks, night), "bare read of the same ticks", rate(args.ticks, read));
    store.close().await?;
    Ok(())
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

/// Stores the day as the consumer does: the ticks, and their candles.
async fn fill(store: &dyn LiveStore, date: NaiveDate, ticks: u64) -> anyhow::Result<()> {
    let start = date.and_time(chrono::NaiveTime::MIN).and_utc();
    let intervals = [Interval::Minute, Interval::FiveMinutes, Interval::Hour, Interval::Day];
    let mut builder = CandleBuilder::new(&intervals, CandleTiming::default());
    let mut candles = Vec::new();
    for first in (0..ticks).step_by(BATCH as usize) {
        let batch = (first..(first + BATCH).min(ticks))
            .map(|n| tick(n, ticks, start))
            .collect::<anyhow::Result<Vec<_>>>()?;
        for stored in &batch {
            builder.apply(&stored.tick, stored.processed_at, &mut candles);
        }
        store.write_ticks(&batch).await?;
        store.write_candles(&candles).await?;
        candles.clear();
    }
    builder.advance(start + TimeDelta::days(2), &mut candles);
    store.write_candles(&candles).await?;
    Ok(())
}

/// The `n`-th tick of the day: the pairs in turn, prices that wander, trades with a size.
fn tick(n: u64, ticks: u64, start: DateTime<Utc>) -> anyhow::Result<StoredTick> {
    let cents = 10_000 + (n * 7_919) % 2_000;
    let time = start + TimeDelta::milliseconds((n * DAY_MS / ticks) as i64);
    let decimal = |cents: u64| parse_decimal(&format!("{}.{:02}", cents / 100, cents % 100));
    let tick = Tick::new(TickFields {
        symbol: Symbol::parse(&format!("C{:03}/USDT", n % SYMBOLS))?,
        timestamp: time,
        price: decimal(cents)?,
        volume: decimal(n * 100)?,
        open: decimal(11_000)?,
        high: decimal(12_000)?,
        low: decimal(10_000)?,
        size: Some(decimal(1 + n % 500)?),
        change_percent: (cents as f64 - 11_000.0) / 110.0,
        source: Source::parse("binance")?,
        received_at: time,
        seq: n + 1,
    })?;
    Ok(StoredTick { tick, processed_at: time, partition: 0, offset: n })
}
