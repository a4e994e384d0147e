//! What the benchmarks share: the messages they send, and how a comparison is printed.

use std::{
    path::PathBuf,
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, NewRecord};
use market::{Source, Symbol, Tick, TickFields, parse_decimal};

/// How many symbols the messages are spread over.
pub const SYMBOLS: usize = 50;

/// The `n`-th tick of a made-up day: 50 stocks in turn, prices that wander, a millisecond apart.
///
/// # Errors
/// Never in practice; the values are made to be valid.
pub fn tick(n: u64, start: DateTime<Utc>) -> anyhow::Result<Tick> {
    tick_of(Symbol::parse(&format!("S{:03}", n % SYMBOLS as u64))?, n, start)
}

/// The same of another symbol.
fn tick_of(symbol: Symbol, n: u64, start: DateTime<Utc>) -> anyhow::Result<Tick> {
    let cents = 10_000 + (n * 7_919) % 2_000;
    let decimal = |cents: u64| parse_decimal(&format!("{}.{:02}", cents / 100, cents % 100));
    let time = start + TimeDelta::milliseconds(n as i64 / SYMBOLS as i64);
    Ok(Tick::new(TickFields {
        symbol,
        timestamp: time,
        price: decimal(cents)?,
        volume: decimal(n * 100)?,
        open: decimal(11_000)?,
        high: decimal(12_000)?,
        low: decimal(10_000)?,
        size: None,
        change_percent: (cents as f64 - 11_000.0) / 110.0,
        source: Source::parse("simulated")?,
        received_at: time,
        seq: n + 1,
    })?)
}

/// The same ticks as records, in batches, as a producer sends them.
///
/// # Errors
/// As [`tick`].
pub fn batches(messages: u64, batch: u64) -> anyhow::Result<Vec<Vec<NewRecord>>> {
    batches_of(messages, batch, tick)
}

/// And of as many pairs of crypto.
///
/// # Errors
/// As [`tick`].
pub fn crypto_batches(messages: u64, batch: u64) -> anyhow::Result<Vec<Vec<NewRecord>>> {
    batches_of(messages, batch, |n, start| {
        tick_of(Symbol::parse(&format!("C{:03}/USDT", n % SYMBOLS as u64))?, n, start)
    })
}

fn batches_of(
    messages: u64,
    batch: u64,
    tick: impl Fn(u64, DateTime<Utc>) -> anyhow::Result<Tick>,
) -> anyhow::Result<Vec<Vec<NewRecord>>> {
    let start = Utc::now() - TimeDelta::hours(1);
    let mut all = Vec::new();
    let mut buffer = Vec::new();
    for first in (0..messages).step_by(batch as usize) {
        let mut records = Vec::new();
        for n in first..(first + batch).min(messages) {
            let tick = tick(n, start)?;
            buffer.clear();
            topics::tick::encode(&tick, &mut buffer);
            records.push(NewRecord {
                key: Some(Bytes::copy_from_slice(tick.symbol.as_str().as_bytes())),
                payload: Bytes::copy_from_slice(&buffer),
                headers: Vec::new(),
                timestamp: tick.received_at,
            });
        }
        all.push(records);
    }
    Ok(all)
}

/// Events a second.
pub fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// One line: ours, the limit or peer of the same run, and the ratio.
pub fn print_ratio(what: &str, ours: f64, limit_name: &str, limit: f64) {
    println!("{what:<34} {ours:>12.0} /s   {limit_name:<40} {limit:>12.0} /s   {:>6.2}", ours / limit);
}

/// Publishes batches and waits until all are durable; records a second.
///
/// # Errors
/// A log that refuses.
pub async fn publish(log: &dyn EventLog, topic: &str, batches: Vec<Vec<NewRecord>>) -> anyhow::Result<f64> {
    let publisher = log.publisher()?;
    let messages = batches.iter().map(Vec::len).sum::<usize>() as u64;
    let begun = Instant::now();
    let mut receipts = Vec::with_capacity(batches.len());
    for batch in batches {
        receipts.push(publisher.send(topic, batch).await?);
    }
    for receipt in receipts {
        receipt.durable().await?;
    }
    Ok(rate(messages, begun.elapsed()))
}

/// The servers and our programs, for benchmarks that run these as processes of their own.
#[derive(clap::Args)]
pub struct Deployment {
    /// The broker; its topics of prices are filled.
    #[arg(long, env = "KAFKA_URL", default_value = "kafka://127.0.0.1:9092")]
    pub kafka: String,
    /// The server; databases of this run are made there.
    #[arg(long, env = "MONGO_URL", default_value = "mongodb://127.0.0.1:27017")]
    pub mongodb: String,
    /// The folder of our programs.
    #[arg(long, default_value = "target/release")]
    pub binaries: PathBuf,
}

impl Deployment {
    /// One of our programs, on these servers.
    ///
    /// # Errors
    /// A program that is not built.
    pub fn start(&self, name: &str, args: &[&str], database: &str, group: &str) -> anyhow::Result<Running> {
        let binary = self.binaries.join(name);
        let child = Command::new(&binary)
            .args(args)
            .env("LOG_URL", &self.kafka)
            .env("STORE_URL", format!("{}/{database}", self.mongodb.trim_end_matches('/')))
            .env("CONSUMER_GROUP", group)
            .env("LISTEN", "127.0.0.1:0")
            .env("RUST_LOG", "error")
            .spawn()
            .with_context(|| binary.display().to_string())?;
        Ok(Running(child))
    }
}

/// A program that ends with its owner.
pub struct Running(pub Child);

impl Running {
    /// Its memory, in MiB; none once it has ended.
    pub fn resident_mb(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kb| kb >> 10)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM, so that a script can end what it has started. The script may have ended already.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
