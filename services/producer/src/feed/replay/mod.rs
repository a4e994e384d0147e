//! Recordings: frames of Binance and Coinbase, ticks as JSON Lines or CSV, candles as CSV, Binance's data files. At their own pace, faster,
//! or as fast as the log takes them. Identities are those of the recording, so that playing it again adds nothing.

mod candle_table;
mod cell;
mod columns;
mod format;
mod read;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{IsTerminal, stderr},
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::BoxFuture;
use indicatif::{ProgressBar, ProgressStyle};
use market::{Candle, Symbol, Tick};
use service_runtime::{Latency, Runtime};
use tokio::{sync::mpsc, time::Instant};

pub use self::read::daily_candles;
use super::{Abilities, Feed, FeedContext, Prices};
use crate::{
    metrics::FeedMetrics,
    publish::{Outlet, outlet},
};

/// Chunks read ahead.
const MAX_CHUNKS_AHEAD: usize = 8;
/// A gap of years in a recording is not waited for.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
/// Bad lines, and remarks, that are logged one by one; the rest is counted.
const MAX_LOGGED: u64 = 20;
/// Different reasons for bad lines that are counted one by one.
const MAX_REASONS: usize = 5;

pub(crate) static FEED: Feed = Feed {
    name: "replay",
    task: "feed replay",
    summary: "Recorded files",
    prices: Prices::Recorded,
    abilities: Abilities {
        delivery: "from files, at their pace or another",
        volume: "as recorded",
        history: "candles of the files",
        repair: "none",
        budget: "none",
    },
    ask: None,
    probe: None,
    daily: None,
    check: None,
    has_ledger: false,
    run: |context| Box::pin(run(context)),
};

/// The settings of a replay.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// replay: recorded Binance or Coinbase socket frames, ticks as JSON Lines or CSV, or candles as CSV, also compressed with gzip.
    /// Without it nothing is played, and the pages show what is stored.
    #[arg(id = "replay-file", long, value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// replay: the symbol of candle files that are not named for theirs.
    #[arg(id = "replay-symbol", long, value_name = "SYMBOL")]
    pub symbol: Option<Symbol>,
    /// replay: times the recorded pace, or max.
    #[arg(id = "replay-speed", long, env = "REPLAY_SPEED", default_value = "1", value_name = "N|max")]
    pub speed: Speed,
}

/// How fast a recording is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times the recorded pace.
    Times(f64),
    /// As fast as the log takes it.
    Max,
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.trim_end_matches('x').parse::<f64>() {
            Ok(times) if times > 0.0 && times <= 1e6 => Ok(Self::Times(times)),
            _ => Err(format!(
                "`{}` is no speed; a number above 0, such as 1 or 60, or max",
                text.escape_debug()
            )),
        }
    }
}

/// What a line of a recording holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Item {
    Tick(Tick),
    Candle(Candle),
}

impl Item {
    fn candle(&self) -> Option<&Candle> {
        match self {
            Self::Candle(candle) => Some(candle),
            Self::Tick(_) => None,
        }
    }

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
    /// Lines without a tick or candle: headers, blank lines, other messages of a venue.
    pub(crate) empty_lines: u64,
    pub(crate) bytes: u64,
    /// Line number and reason.
    pub(crate) bad: Vec<(u64, String)>,
    /// Line number and remark.
    pub(crate) remarks: Vec<(u64, Remark)>,
}

/// What is unusual about a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Remark {
    /// It is of a day on which the calendar has no session, and used.
    NoSession(NaiveDate),
    /// Its candle is there twice.
    Repeated,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession(date) => write!(f, "the calendar has no session on {date}; the row is used"),
            Self::Repeated => {
                f.write_str("its candle is there twice; the row with more volume is used, or the later one")
            }
        }
    }
}

/// What a replay has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Files played.
    pub files: u64,
    /// Lines read.
    pub lines: u64,
    /// Ticks that are durable in the log.
    pub ticks: u64,
    /// Candles that are durable in the log.
    pub candles: u64,
    /// Of these, those that were stored before they were played, as far as they were counted.
    pub known_candles: u64,
    /// Lines without a tick or candle: headers, blank lines, other messages of a venue.
    pub empty_lines: u64,
    /// Lines that could not be used, or not whole; the first are logged with place and reason.
    pub bad_lines: u64,
    /// The first reasons why lines could not be used, with the number of lines of each.
    pub reasons: BTreeMap<String, u64>,
    /// Rows of days on which the calendar has no session; they are used, and the first are logged.
    pub days_without_session: u64,
    /// Rows whose candle is there twice; one of them is used.
    pub repeated_rows: u64,
}

impl Report {
    /// Adds the lines of a chunk; logs the first of those that are bad or unusual.
    fn count(&mut self, file: &Path, chunk: &Chunk, progress: &ProgressBar) {
        self.lines += chunk.lines;
        self.empty_lines += chunk.empty_lines;
        for (line, reason) in &chunk.bad {
            self.bad_lines += 1;
            if self.reasons.len() < MAX_REASONS || self.reasons.contains_key(reason) {
                *self.reasons.entry(reason.clone()).or_default() += 1;
            }
            if self.bad_lines <= MAX_LOGGED {
                progress.suspend(|| tracing::warn!("{}, line {line}: {reason}", file.display()));
            }
        }
        for (line, remark) in &chunk.remarks {
            let count = match remark {
                Remark::NoSession(_) => &mut self.days_without_session,
                Remark::Repeated => &mut self.repeated_rows,
            };
            *count += 1;
            if *count <= MAX_LOGGED {
                progress.suspend(|| tracing::warn!("{}, line {line}: {remark}", file.display()));
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, lines, ticks, candles, bad_lines, .. } = self;
        write!(
            f,
            "{ticks} ticks and {candles} candles from {lines} lines of {files} file(s), {bad_lines} bad line(s)"
        )?;
        self.notes().iter().try_for_each(|note| write!(f, ", {note}"))
    }
}

impl Report {
    /// What is unusual about lines that were read.
    pub fn notes(&self) -> Vec<String> {
        let days = (self.days_without_session, "day(s) on which the calendar has no session, used");
        let rows =
            (self.repeated_rows, "row(s) whose candle is there twice: the one with more volume was used");
        [days, rows]
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, note)| format!("{count} {note}"))
            .collect()
    }
}

/// Counts the candles that are stored already.
pub type CountKnown = Box<dyn Fn(Vec<Candle>) -> BoxFuture<'static, anyhow::Result<u64>> + Send + Sync>;

/// Plays files into the log; everything is durable there when it returns. `count_known` counts candles before they are played.
///
/// # Errors
/// A file that cannot be read or is no recording, a log that fails for good, or a shutdown before the end.
pub async fn replay_files(
    args: &ReplayArgs,
    runtime: &Runtime,
    count_known: Option<CountKnown>,
) -> anyhow::Result<Report> {
    let latency = Arc::new(Latency::new(topics::names::figure::FEED_PUBLISHED));
    let metrics = FeedMetrics::new(&runtime.status, "replay", &latency);
    let publisher = runtime.log.publisher().context("cannot publish")?;
    let (outlet, acknowledgements) = outlet(publisher, metrics);
    let outlet = outlet.of_recording();
    let acknowledged = tokio::spawn(acknowledgements.collect());
    let report = tokio::select! {
        report = play(args, &outlet, count_known.as_ref()) => report,
        () = runtime.shutdown.cancelled() => Err(anyhow!("stopped before the end of the recording")),
    };
    drop(outlet);
    acknowledged.await.context("a task panicked")??;
    report
}

/// Plays files, then stays idle until the shutdown.
async fn run(context: FeedContext) -> anyhow::Result<()> {
    let FeedContext { config, outlet, health, shutdown, .. } = context;
    let replay = config.replay;
    let outlet = outlet.of_recording();
    if replay.files.is_empty() {
        health.up("no recording is played");
        shutdown.cancelled().await;
        return Ok(());
    }
    health.up("playing");
    tokio::select! {
        report = play(&replay, &outlet, None) => health.up(&format!("played: {}", report?)),
        () = shutdown.cancelled() => return Ok(()),
    }
    shutdown.cancelled().await;
    Ok(())
}

/// Checks that files can be read and are recordings, before anything is written. Returns whether one of them has more than a
/// header, as far as the first lines show.
///
/// # Errors
/// The first that is missing, cannot be read, is a folder, or is no recording.
pub fn check_files(recordings: &ReplayArgs) -> anyhow::Result<bool> {
    if total_size(&recordings.files)? == 0 {
        return Ok(false);
    }
    let mut has_rows = false;
    for file in &recordings.files {
        // A pipe can be read only once.
        has_rows |= !file.is_file() || read::has_rows(file, recordings.symbol)?;
    }
    Ok(has_rows)
}

/// Size of recordings, in bytes.
fn total_size(files: &[PathBuf]) -> anyhow::Result<u64> {
    files.iter().map(|file| size_of(file)).sum()
}

/// Size of a recording, in bytes.
fn size_of(file: &Path) -> anyhow::Result<u64> {
    let meta = File::open(file).and_then(|file| file.metadata());
    let meta = meta.with_context(|| format!("cannot read {}", file.display()))?;
    anyhow::ensure!(!meta.is_dir(), "{} is a folder, and a recording is a file", file.display());
    Ok(meta.len())
}

async fn play(
    &ReplayArgs { ref files, symbol, speed }: &ReplayArgs,
    outlet: &Outlet,
    count_known: Option<&CountKnown>,
) -> anyhow::Result<Report> {
    let progress = progress_bar(total_size(files)?);
    let mut report = Report::default();
    let mut pace = Pace::new(speed);
    for file in files {
        let (sender, mut chunks) = mpsc::channel(MAX_CHUNKS_AHEAD);
        let path = file.clone();
        let reading = tokio::task::spawn_blocking(move || read::read(&path, symbol, &sender));
        while let Some(chunk) = chunks.recv().await {
            report.count(file, &chunk, &progress);
            if let Some(count_known) = count_known {
                let candles: Vec<Candle> = chunk.items.iter().filter_map(Item::candle).copied().collect();
                report.known_candles += count_known(candles).await?;
            }
            let (ticks, candles) = pass_on(chunk.items, &mut pace, outlet).await?;
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

/// Sends items in order, those of one kind together unless they are to be paced: ticks and candles have topics of their own.
async fn pass_on(items: Vec<Item>, pace: &mut Pace, outlet: &Outlet) -> anyhow::Result<(u64, u64)> {
    let (mut ticks, mut candles, mut sent_ticks, mut sent_candles) = (Vec::new(), Vec::new(), 0, 0);
    for item in items {
        if let Some(due) = pace.due(item.recorded_at()) {
            sent_ticks += send(outlet, &mut ticks).await?;
            sent_candles += send_candles(outlet, &mut candles).await?;
            tokio::time::sleep_until(due).await;
        }
        match item {
            Item::Tick(tick) => ticks.push(tick),
            Item::Candle(candle) => candles.push(candle),
        }
    }
    sent_ticks += send(outlet, &mut ticks).await?;
    sent_candles += send_candles(outlet, &mut candles).await?;
    Ok((sent_ticks, sent_candles))
}

async fn send_candles(outlet: &Outlet, candles: &mut Vec<Candle>) -> anyhow::Result<u64> {
    outlet.send_candles(candles).await?;
    let sent = candles.len() as u64;
    candles.clear();
    Ok(sent)
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
