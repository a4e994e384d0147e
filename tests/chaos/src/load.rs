//! The load program: publishes what the plan says, and writes down what was acknowledged.

use std::{fmt::Write, path::PathBuf, time::Duration};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, Receipt, Retention, TopicSpec};
use market::Interval;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    ledger::{Ledger, Numbers, Said},
    plan::{LANES, Plan},
};

/// Records of one batch at most.
const BATCH: u64 = 500;
/// Batches on their way at most; further ones wait.
const MAX_UNACKNOWLEDGED: usize = 256;
/// Between two bursts.
const BURST_INTERVAL_MS: u64 = 5;
/// What is left undone beyond so much is not caught up.
const MAX_OWED_SECONDS: f64 = 2.0;

/// Publishes ticks until so many are acknowledged, and notes which; started again with the same ledger it goes on
/// with numbers of their own.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "load")]
pub struct LoadArgs {
    /// The event log.
    #[arg(long, env = "LOG_URL", hide_env_values = true)]
    pub log_url: String,
    /// Where acknowledged numbers are noted.
    #[arg(long)]
    pub ledger: PathBuf,
    /// The producer's name.
    #[arg(long)]
    pub source: String,
    /// How many symbols.
    #[arg(long, default_value_t = 12)]
    pub symbols: usize,
    /// Ticks to be acknowledged altogether, those of earlier runs included.
    #[arg(long)]
    pub count: u64,
    /// Ticks a second; 0: as fast as the log takes them.
    #[arg(long, default_value_t = 0)]
    pub rate: u32,
    /// Every so many-th record cannot be read; 0: all can.
    #[arg(long, default_value_t = 0)]
    pub poison_every: u64,
    /// Ticks are dated back so far that a minute ends so many milliseconds after the start; at most 60,000.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub minute_ends_after_ms: Option<u32>,
}

struct Sent {
    lane: usize,
    first: u64,
    count: u64,
    receipt: Receipt,
}

/// Publishes until enough is acknowledged.
///
/// # Errors
/// A log that refuses a record, or a ledger that cannot be written.
pub async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let plan = Plan::new(&args.source, args.symbols, args.poison_every)?;
    let said = Said::read(&args.ledger)?;
    let mut ledger = Ledger::open(&args.ledger)?;
    let mut numbers = Numbers::behind(&said);
    let mut left = args.count.saturating_sub(said.acknowledged_len());
    let log = event_log::open(&args.log_url).await.context("cannot open the event log")?;
    create_topics(&*log).await?;
    let publisher = log.publisher()?;
    let (send, receive) = mpsc::channel(MAX_UNACKNOWLEDGED);
    let collector = tokio::spawn(collect(receive, plan.clone(), ledger.another()?));

    let (mut pace, mut clock) = (Pace::new(args.rate), Clock::new(args.minute_ends_after_ms));
    let mut lane = 0;
    while left > 0 {
        let due = pace.due().await.min(left);
        let mut burst = due;
        while burst > 0 {
            let count = burst.min(BATCH);
            let first = numbers.take(lane, count, &mut ledger)?;
            let mut records = Vec::with_capacity(count as usize);
            for seq in first..first + count {
                records.push(plan.record(lane, seq, clock.next())?);
            }
            let receipt = publisher.send(plan.lanes[lane].topic, records).await.context("cannot publish")?;
            if send.send(Sent { lane, first, count, receipt }).await.is_err() {
                break;
            }
            burst -= count;
            lane = (lane + 1) % LANES;
        }
        if burst > 0 {
            break; // the collector has ended, and says why
        }
        left -= due;
    }
    drop(send);
    collector.await.context("the collector panicked")?
}

/// Notes, in the order sent, what has become durable.
async fn collect(mut sent: mpsc::Receiver<Sent>, plan: Plan, mut ledger: Ledger) -> anyhow::Result<()> {
    while let Some(Sent { lane, first, count, receipt }) = sent.recv().await {
        let positions = receipt.durable().await.context("the log did not store a batch")?;
        let mut lines = String::new();
        for (seq, at) in (first..first + count).zip(positions).filter(|(seq, _)| plan.is_poison(*seq)) {
            let _ = writeln!(lines, "p {lane} {seq} {} {}", at.topic_partition.partition, at.offset);
        }
        let _ = writeln!(lines, "a {lane} {first} {}", first + count - 1);
        ledger.write(&lines)?;
    }
    Ok(())
}

/// Creates the topics of the suite that are missing.
///
/// # Errors
/// A log that is away or refuses.
pub async fn create_topics(log: &dyn EventLog) -> anyhow::Result<()> {
    let specs = topics::ALL.map(|topic| TopicSpec {
        name: topic.name.to_owned(),
        partitions: topic.partitions,
        retention: Retention::For(topic.retention),
    });
    log.ensure_topics(&specs).await.context("cannot create the topics")
}

/// Says how many ticks are due.
struct Pace {
    rate: u32,
    owed: f64,
    since: Instant,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { rate, owed: 0.0, since: Instant::now() }
    }

    async fn due(&mut self) -> u64 {
        if self.rate == 0 {
            return BATCH;
        }
        let rate = f64::from(self.rate);
        while self.owed < 1.0 {
            tokio::time::sleep(Duration::from_millis(BURST_INTERVAL_MS)).await; // the pace itself
            let elapsed = self.since.elapsed();
            self.since += elapsed;
            self.owed = (self.owed + elapsed.as_secs_f64() * rate).min(rate * MAX_OWED_SECONDS);
        }
        let due = self.owed as u64;
        self.owed -= due as f64;
        due
    }
}

/// Times in microseconds, each after the one before: the order of a symbol's ticks is that of their times.
struct Clock {
    newest: DateTime<Utc>,
    behind: TimeDelta,
}

impl Clock {
    fn new(minute_ends_after_ms: Option<u32>) -> Self {
        let now = Utc::now();
        let behind = minute_ends_after_ms.map_or(TimeDelta::zero(), |after_ms| {
            let end = now + TimeDelta::milliseconds(i64::from(after_ms));
            end - Interval::Minute.floor(end)
        });
        Self { newest: DateTime::UNIX_EPOCH, behind }
    }

    fn next(&mut self) -> DateTime<Utc> {
        self.newest = micros(Utc::now() - self.behind).max(self.newest + TimeDelta::microseconds(1));
        self.newest
    }
}

fn micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}
