//! The load program: publishes the ticks of the plan, and writes acknowledgements into the ledger.

use std::{fmt::Write, path::PathBuf, time::Duration};

use anyhow::Context;
use backon::{ConstantBuilder, Retryable};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use event_log::{EventLog, EventLogError, Receipt, Retention, TopicSpec};
use market::Interval;
use tokio::{sync::mpsc, time::Instant};
use topics::TopicDefinition;

use crate::{
    ledger::{Ledger, LedgerContent, SeqAllocator},
    plan::{LANES, Plan},
};

/// Limit of records in one batch.
const BATCH: u64 = 500;
/// Limit of batches in flight.
const MAX_UNACKNOWLEDGED: usize = 256;
/// Interval between two bursts.
const BURST_INTERVAL_MS: u64 = 5;
/// Limit of the backlog that is published faster than the rate.
const MAX_BACKLOG_SECONDS: f64 = 2.0;
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Limit of attempts to create the topics: some outages last a minute.
const MAX_RETRIES: usize = 120;

/// Publishes ticks until a number of them is acknowledged, and records them in a ledger. Another run with the same ledger
/// continues with new sequence numbers.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "load")]
pub struct LoadArgs {
    /// URL of the event log.
    #[arg(long, env = "LOG_URL", hide_env_values = true)]
    pub log_url: String,
    /// File of the ledger.
    #[arg(long)]
    pub ledger: PathBuf,
    /// The producer's name.
    #[arg(long)]
    pub source: String,
    /// Number of symbols.
    #[arg(long, default_value_t = 12)]
    pub symbols: usize,
    /// Total number of acknowledged ticks to reach, including earlier runs.
    #[arg(long)]
    pub count: u64,
    /// Ticks per second; 0: as fast as possible.
    #[arg(long, default_value_t = 0)]
    pub rate: u32,
    /// One in this number of records cannot be decoded; 0: none.
    #[arg(long, default_value_t = 0)]
    pub poison_every: u64,
    /// Shifts the ticks' times into the past so that a minute ends this number of milliseconds after the start; at most 60,000.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=60_000))]
    pub minute_ends_after_ms: Option<u32>,
}

struct Sent {
    lane: usize,
    first: u64,
    count: u64,
    receipt: Receipt,
}

/// Publishes until enough ticks are acknowledged.
///
/// # Errors
/// A log that refuses a record, or a ledger that cannot be written.
pub async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let plan = Plan::new(&args.source, args.symbols, args.poison_every)?;
    let content = LedgerContent::read(&args.ledger)?;
    let mut ledger = Ledger::open(&args.ledger)?;
    let mut numbers = SeqAllocator::after(&content);
    let mut left = args.count.saturating_sub(content.acknowledged_len());
    let log = event_log::open(&args.log_url).await.context("cannot open the event log")?;
    create_topics(&*log).await?;
    let publisher = log.publisher()?;
    let (send, receive) = mpsc::channel(MAX_UNACKNOWLEDGED);
    let collector = tokio::spawn(collect(receive, plan.clone(), ledger.try_clone()?));

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
            break; // the collector has ended, and returns the reason
        }
        left -= due;
    }
    drop(send);
    collector.await.context("the collector panicked")?
}

/// Writes the durable records into the ledger, in the order sent.
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

/// The topics of the suite, as services create them.
pub fn topic_specs() -> Vec<TopicSpec> {
    let spec = |topic: TopicDefinition| TopicSpec {
        name: topic.name.into_owned(),
        partitions: topic.partitions,
        retention: Retention::For(topic.retention),
    };
    topics::all_with_dead_letters().map(spec).collect()
}

/// Creates the missing topics of the suite.
///
/// # Errors
/// Errors of the log.
pub async fn create_topics(log: &dyn EventLog) -> anyhow::Result<()> {
    let specs = topic_specs();
    // A fault may stop the broker while this program starts.
    let retries = ConstantBuilder::new().with_delay(RETRY_INTERVAL).with_max_times(MAX_RETRIES);
    let created = (|| log.ensure_topics(&specs)).retry(retries).when(EventLogError::is_transient);
    created.await.context("cannot create the topics")
}

/// Computes how many ticks are due.
struct Pace {
    rate: u32,
    backlog: f64,
    since: Instant,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { rate, backlog: 0.0, since: Instant::now() }
    }

    async fn due(&mut self) -> u64 {
        if self.rate == 0 {
            return BATCH;
        }
        let rate = f64::from(self.rate);
        while self.backlog < 1.0 {
            tokio::time::sleep(Duration::from_millis(BURST_INTERVAL_MS)).await; // the pace itself
            let elapsed = self.since.elapsed();
            self.since += elapsed;
            self.backlog = (self.backlog + elapsed.as_secs_f64() * rate).min(rate * MAX_BACKLOG_SECONDS);
        }
        let due = self.backlog as u64;
        self.backlog -= due as f64;
        due
    }
}

/// Increasing times in microseconds, so that the ticks of a symbol are in the order of their times.
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
        self.newest =
            (Utc::now() - self.behind).trunc_subsecs(6).max(self.newest + TimeDelta::microseconds(1));
        self.newest
    }
}
