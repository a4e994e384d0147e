//! Fault 14: Elasticsearch is away while log lines go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail};
use tracing::{Dispatch, dispatcher};
use tracing_elastic::{Counts, DeadLetters, Health, Monitor, Service, Settings};
use tracing_subscriber::{Registry, layer::SubscriberExt};

use crate::{Outcome, scene::World};

/// Log lines a second.
const RATE: u32 = 5_000;
/// The lines of a tick of the clock that paces them.
const BURST: u32 = 50;
/// Time with a server before and after the outage.
const CALM: Duration = Duration::from_secs(5);
/// Bound of the queue: less than the lines of the outage.
const QUEUE_BYTES: usize = 4 << 20;
/// An entry more than the bound: the document about dropped lines.
const NOTICE_BYTES: u64 = 1 << 10;
/// No caller waits so long: a caller that waited for the network would wait for the timeout of a connection.
const LONGEST_CALL: Duration = Duration::from_secs(2);
/// Longest time until the queue is empty after the outage.
const DRAIN: Duration = Duration::from_secs(60);

/// Times of calls, before and during the outage.
const PHASES: usize = 3;

/// Fault 14.
pub(super) async fn away(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    world.elastic.start().await?;
    let url = format!("http://127.0.0.1:{}", world.elastic_port);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let stream = format!("chaos-{}", now.as_micros());
    let folder = world.folder.join("fault-14");
    std::fs::create_dir_all(&folder)?;
    let mut settings = Settings::new(url.clone(), stream.clone(), Service::new("chaos", "1"));
    settings.limits.queue_max_bytes = QUEUE_BYTES;
    settings.limits.retry_max_ms = 1_000;
    settings.dead_letters =
        Some(DeadLetters { path: folder.join("dead-letters.jsonl"), max_bytes: 64 << 20 });
    let (layer, logs) = tracing_elastic::start(settings, None)?;
    let monitor = logs.monitor();

    let (phase, ends) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicBool::new(false)));
    let dispatch = Dispatch::new(Registry::default().with(layer));
    let lines = std::thread::spawn({
        let (phase, ends, monitor) = (Arc::clone(&phase), Arc::clone(&ends), monitor.clone());
        move || dispatcher::with_default(&dispatch, || log(&phase, &ends, &monitor))
    });
    tokio::time::sleep(CALM).await;
    phase.store(1, Ordering::Relaxed);
    world.elastic.kill_9()?;
    tokio::time::sleep(Duration::from_secs(world.numbers.outage_seconds)).await;
    let during = monitor.health();
    outcome.check(matches!(during, Health::Down(_)), format!("the health during the outage is {during:?}"));
    world.elastic.start().await?;
    phase.store(2, Ordering::Relaxed);
    tokio::time::sleep(CALM).await;
    ends.store(true, Ordering::Relaxed);
    let lines = tokio::task::spawn_blocking(|| lines.join()).await?;
    let Ok(lines) = lines else { bail!("the thread that logs panicked") };
    let flushed = tokio::task::spawn_blocking({
        let monitor = monitor.clone();
        move || monitor.flush(DRAIN)
    });
    outcome.check(flushed.await?, format!("the queue is not empty after {DRAIN:?}"));
    let counts = tokio::task::spawn_blocking(|| logs.shutdown(DRAIN)).await?;
    judge(&mut outcome, &lines, counts);
    let stored = count(&url, &stream).await?;
    outcome.check(
        stored == counts.indexed + counts.already_there,
        format!("Elasticsearch has {stored} documents of {counts:?}"),
    );
    Ok(outcome)
}

/// What the thread that logs has seen.
#[derive(Default)]
struct Lines {
    logged: u64,
    /// Durations of calls by phase, in nanoseconds.
    calls: [Vec<u64>; PHASES],
    most_queued_bytes: u64,
}

fn log(phase: &AtomicU8, ends: &AtomicBool, monitor: &Monitor) -> Lines {
    let mut lines = Lines::default();
    let begun = Instant::now();
    while !ends.load(Ordering::Relaxed) {
        let at = usize::from(phase.load(Ordering::Relaxed)).min(PHASES - 1);
        for _ in 0..BURST {
            let called = Instant::now();
            tracing::info!(symbol = "AAPL", offset = lines.logged, "a tick was stored");
            lines.calls[at].push(called.elapsed().as_nanos() as u64);
            lines.logged += 1;
        }
        lines.most_queued_bytes = lines.most_queued_bytes.max(monitor.counts().queued_bytes);
        // A thread that is behind catches up.
        let due = Duration::from_secs_f64(lines.logged as f64 / f64::from(RATE));
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    lines
}

fn judge(outcome: &mut Outcome, lines: &Lines, counts: Counts) {
    for (name, calls) in ["before", "during", "after"].into_iter().zip(&lines.calls) {
        let mut sorted = calls.clone();
        sorted.sort_unstable();
        let at = |part: f64| sorted.get((sorted.len() as f64 * part) as usize).copied().unwrap_or_default();
        outcome.note(format!(
            "a call {name} the outage: p50 {:.1} us, p99 {:.1} us, of {}",
            at(0.5) as f64 / 1e3,
            at(0.99) as f64 / 1e3,
            sorted.len()
        ));
        let longest = Duration::from_nanos(sorted.last().copied().unwrap_or_default());
        outcome.check(longest < LONGEST_CALL, format!("a call {name} the outage took {longest:?}"));
    }
    outcome.note(format!("{counts:?}, at most {} bytes queued", lines.most_queued_bytes));
    outcome.check(counts.is_settled() && counts.queued == 0, format!("{counts:?} do not add up"));
    outcome.check(
        counts.accepted >= lines.logged,
        format!("{} lines were logged, {} accepted", lines.logged, counts.accepted),
    );
    outcome.check(counts.dropped > 0, "nothing was dropped: the outage did not fill the queue");
    outcome.check(counts.dead_lettered == 0, format!("{} lines are dead letters", counts.dead_lettered));
    let bound = QUEUE_BYTES as u64 + NOTICE_BYTES;
    outcome.check(
        lines.most_queued_bytes <= bound,
        format!("{} bytes were queued, more than {bound}", lines.most_queued_bytes),
    );
}

/// The documents of a data stream.
async fn count(url: &str, stream: &str) -> anyhow::Result<u64> {
    let client = reqwest::Client::new();
    let refreshed = client.post(format!("{url}/{stream}/_refresh")).send().await?;
    refreshed.error_for_status()?;
    let found = client.get(format!("{url}/{stream}/_count")).send().await?.error_for_status()?;
    let found: serde_json::Value = found.json().await?;
    found["count"].as_u64().context("an answer without a count")
}
