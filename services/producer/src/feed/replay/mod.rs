//! Recordings: frames of Binance and Coinbase, ticks as JSON Lines or CSV, daily bars. At their own pace, faster, or as
//! fast as the log takes them. Identities are those of the recording, so that playing it again adds nothing.

mod daily;
mod read;

use std::{
    fmt,
    io::{IsTerminal, stderr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use market::{Candle, Tick};
use service_runtime::{Component, Latency, Runtime};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Speed,
    metrics::FeedMetrics,
    publish::{Outlet, outlet},
};

/// Chunks read ahead.
const MAX_CHUNKS_AHEAD: usize = 8;
/// A gap of years in a recording is not waited for.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
/// Bad lines that are told one by one; the rest is counted.
const MAX_TOLD: u64 = 20;

/// What a line of a recording holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Item {
    Tick(Tick),
    Candle(Candle),
}

impl Item {
    /// When it was recorded.
    fn recorded_at(&self) -> DateTime<Utc> {
        match self {
            Self::Tick(tick) => tick.received_at,
            Self::Candle(candle) => {
                candle.time.checked_add_signed(candle.interval.duration()).unwrap_or(candle.time)
            }
        }
    }
}

/// Some lines of a recording.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) items: Vec<Item>,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    /// Line number and reason.
    pub(crate) bad: Vec<(u64, String)>,
}

/// What a replay has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files played.
    pub files: u64,
    /// Lines read.
    pub lines: u64,
    /// Ticks that are durable in the log.
    pub ticks: u64,
    /// Bars that are durable in the log.
    pub candles: u64,
    /// Lines that could not be used; each was told with its place and reason.
    pub bad_lines: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, lines, ticks, candles, bad_lines } = self;
        write!(
            f,
            "{ticks} ticks and {candles} bars from {lines} lines of {files} file(s), {bad_lines} bad line(s)"
        )
    }
}

/// Plays files into the log; everything is durable there when it returns.
///
/// # Errors
/// A file that cannot be read or is no recording, or a log that fails for good.
pub async fn replay_files(files: &[PathBuf], speed: Speed, runtime: &Runtime) -> anyhow::Result<Report> {
    let latency = Arc::new(Latency::new(topics::names::figure::FEED_PUBLISHED));
    let metrics = FeedMetrics::new(&runtime.status, "replay", &latency);
    let publisher = runtime.log.publisher().context("cannot publish")?;
    let (outlet, acknowledgements) = outlet(publisher, metrics);
    let acknowledged = tokio::spawn(acknowledgements.collect());
    let report = play(files, speed, &outlet, &runtime.shutdown).await;
    drop(outlet);
    acknowledged.await.context("a task panicked")??;
    report
}

/// Plays files, then stays idle until the shutdown.
pub(crate) async fn run(
    files: Vec<PathBuf>,
    speed: Speed,
    outlet: Outlet,
    health: Component,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    health.up("playing");
    let report = play(&files, speed, &outlet, &shutdown).await?;
    health.up(&format!("played: {report}"));
    shutdown.cancelled().await;
    Ok(())
}

async fn play(
    files: &[PathBuf],
    speed: Speed,
    outlet: &Outlet,
    shutdown: &CancellationToken,
) -> anyhow::Result<Report> {
    let mut sizes = Vec::new();
    for file in files {
        let size = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
        sizes.push(size);
    }
    let progress = progress_bar(sizes.iter().sum());
    let mut report = Report::default();
    let mut pace = Pace::new(speed);
    for file in files {
        let (sender, mut chunks) = mpsc::channel(MAX_CHUNKS_AHEAD);
        let path = file.clone();
        let reading = tokio::task::spawn_blocking(move || read::read(&path, &sender));
        while let Some(chunk) = chunks.recv().await {
            if shutdown.is_cancelled() {
                return Err(anyhow!("stopped before the end of {}", file.display()));
            }
            report.lines += chunk.lines;
            for (line, reason) in &chunk.bad {
                report.bad_lines += 1;
                if report.bad_lines <= MAX_TOLD {
                    progress.suspend(|| tracing::warn!("{}, line {line}: {reason}", file.display()));
                }
            }
            let (ticks, candles) = pass_on(chunk.items, &mut pace, outlet, shutdown).await?;
            report.ticks += ticks;
            report.candles += candles;
            progress.inc(chunk.bytes);
        }
        reading.await.context("reading panicked")??;
        report.files += 1;
    }
    progress.finish_and_clear();
    Ok(report)
}

/// Sends items in order, runs of ticks together unless they are to be paced.
async fn pass_on(
    items: Vec<Item>,
    pace: &mut Pace,
    outlet: &Outlet,
    shutdown: &CancellationToken,
) -> anyhow::Result<(u64, u64)> {
    let (mut ticks, mut sent_ticks, mut sent_candles) = (Vec::new(), 0, 0);
    for item in items {
        if let Some(due) = pace.due(item.recorded_at()) {
            sent_ticks += send(outlet, &mut ticks).await?;
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = shutdown.cancelled() => return Ok((sent_ticks, sent_candles)),
            }
        }
        match item {
            Item::Tick(tick) => ticks.push(tick),
            Item::Candle(candle) => {
                outlet.send_candles(&[candle]).await?;
                sent_candles += 1;
            }
        }
    }
    sent_ticks += send(outlet, &mut ticks).await?;
    Ok((sent_ticks, sent_candles))
}

async fn send(outlet: &Outlet, ticks: &mut Vec<Tick>) -> anyhow::Result<u64> {
    outlet.send(ticks).await?;
    let sent = ticks.len() as u64;
    ticks.clear();
    Ok(sent)
}

/// When what was recorded is due.
struct Pace {
    speed: Speed,
    /// The first recorded time and the moment it was played.
    begun: Option<(DateTime<Utc>, Instant)>,
}

impl Pace {
    fn new(speed: Speed) -> Self {
        Self { speed, begun: None }
    }

    /// `None` where it is due already.
    fn due(&mut self, recorded_at: DateTime<Utc>) -> Option<Instant> {
        let Speed::Times(times) = self.speed else { return None };
        let now = Instant::now();
        let (first, begun) = *self.begun.get_or_insert((recorded_at, now));
        let recorded = (recorded_at - first).to_std().ok()?;
        let after = Duration::try_from_secs_f64(recorded.as_secs_f64() / times).ok()?.min(LONGEST_WAIT);
        Some(begun + after).filter(|due| *due > now)
    }
}

fn progress_bar(bytes: u64) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    match ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests;
