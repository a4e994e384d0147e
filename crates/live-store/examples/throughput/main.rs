//! How fast the store takes ticks, and gives them back: `cargo run --release -p live-store --example throughput --
//! [TICKS] [BATCH] [SYMBOLS] [FOLDER or mongodb://HOST]`. A MongoDB is compared with the driver's own `insert_many` of
//! the same documents, in turns.

mod mongo;

use std::{path::PathBuf, time::Instant};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{LiveStore, StoredTick, TickQuery};
use market::{Source, Symbol, Tick, TickFields};
use rust_decimal::Decimal;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (ticks, batch, symbols) = (number(1_000_000)?, number(4000)?.max(1), number(50)?.max(1));
    let place = arguments.next();
    let all = make_ticks(ticks, symbols)?;
    match place {
        Some(url) if url.starts_with("mongodb") => mongo::compare(&url, &all, batch).await?,
        folder => sqlite(folder.map_or_else(std::env::temp_dir, PathBuf::from), &all, batch).await?,
    }
    println!("resident: {} MB at most", peak_resident_mb().unwrap_or_default());
    Ok(())
}

async fn sqlite(folder: PathBuf, all: &[StoredTick], batch: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(folder)?;
    let path = folder.path().join("throughput.db");
    let store = live_store::open(&format!("sqlite:{}", path.display())).await?;
    write(&*store, "new", all, batch).await?;
    write(&*store, "again", &all[..all.len().min(20 * batch)], batch).await?;
    read(&*store, all).await?;
    let bytes = std::fs::metadata(&path)?.len();
    println!("file: {} MB, {} bytes a tick", bytes >> 20, bytes / all.len().max(1) as u64);
    Ok(())
}

fn make_ticks(count: usize, symbols: usize) -> anyhow::Result<Vec<StoredTick>> {
    let source = Source::parse("simulated")?;
    let names: Vec<Symbol> = (0..symbols)
        .map(|n| Symbol::parse(&format!("{}{}", char::from(b'A' + (n % 26) as u8), n)))
        .collect::<Result<_, _>>()?;
    let start: DateTime<Utc> = "2026-01-13T15:30:00Z".parse()?;
    (0..count)
        .map(|n| {
            let at = start + TimeDelta::microseconds(n as i64 * 10);
            let price = Decimal::new(26_105 + (n as i64 * 7919) % 1000, 2);
            let fields = TickFields {
                symbol: names[(n * 31) % symbols],
                timestamp: at,
                price,
                volume: Decimal::from(287_051 + n),
                open: Decimal::new(26_022, 2),
                high: price,
                low: Decimal::new(26_019, 2),
                size: None,
                change_percent: 0.32,
                source,
                received_at: at + TimeDelta::milliseconds(214),
                seq: n as u64,
            };
            let tick = Tick::new(fields)?;
            Ok(StoredTick { tick, processed_at: at, partition: (n % 3) as i32, offset: n as u64 })
        })
        .collect()
}

async fn write(store: &dyn LiveStore, what: &str, ticks: &[StoredTick], batch: usize) -> anyhow::Result<f64> {
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let mut slowest = 0.0_f64;
    for chunk in ticks.chunks(batch) {
        // As the consumer does it: one time for the batch.
        let processed_at = Utc::now();
        let chunk: Vec<StoredTick> = chunk.iter().map(|tick| StoredTick { processed_at, ..*tick }).collect();
        let began = Instant::now();
        store.write_ticks(&chunk).await?;
        slowest = slowest.max(began.elapsed().as_secs_f64());
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds() - cpu;
    println!(
        "{what}: {:.0} ticks/s ({:.0} per second of one core), batches of {batch}, slowest {:.1} ms",
        ticks.len() as f64 / seconds,
        ticks.len() as f64 / cpu,
        slowest * 1e3
    );
    Ok(ticks.len() as f64 / seconds)
}

async fn read(store: &dyn LiveStore, all: &[StoredTick]) -> anyhow::Result<()> {
    let began = Instant::now();
    let latest = store.latest_ticks().await?;
    println!("latest of {} symbols: {:.1} ms", latest.len(), began.elapsed().as_secs_f64() * 1e3);
    let first = all.first().context("no ticks")?.tick;
    let mut query = TickQuery {
        symbol: first.symbol,
        from: DateTime::UNIX_EPOCH,
        to: Utc::now() + TimeDelta::days(36_500),
        limit: 1000,
        cursor: None,
    };
    let (began, mut count) = (Instant::now(), 0);
    loop {
        let page = store.ticks(&query).await?;
        count += page.ticks.len();
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    println!("pages of 1000: {:.0} ticks/s", count as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

/// User and system time of this process, from `/proc`; 0 where there is none.
fn cpu_seconds() -> f64 {
    let read = || -> Option<f64> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        Some(ticks / 100.0)
    };
    read().unwrap_or_default()
}

fn peak_resident_mb() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb >> 10)
}
