//! The settings of the batch, and its commands.

use std::net::SocketAddr;

use analytics_store::AnalyticsSettings;
use anyhow::Context;
use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::Subcommand;
use job_runner::Schedule;
use live_store::StoreSettings;
use market::Symbol;
use service_runtime::{HELP_END, LogOutput, LogPassword, SecretString};

/// Exit codes, for `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 done, also where a day had no session and makes no row; 1 a day has not ended, a symbol failed, another run is \
     at work, or a store is unavailable; 2 wrong arguments.";

/// The nightly aggregation: reads each day of each symbol from the live store, and writes its row, with SMA 20 and RSI 14, into
/// the analytics store.
///
/// Example: batch --store mongodb://localhost/stock_market --analytics mysql://localhost/stock_analytics run --date 2026-01-13.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "batch", version, after_help = HELP_END, after_long_help = EXIT_CODES)]
pub struct BatchArgs {
    /// The live store.
    #[command(flatten)]
    pub store: StoreSettings,
    /// The analytics store.
    #[command(flatten)]
    pub analytics: AnalyticsSettings,
    /// Event log to which `schedule` reports that it works; without it /system does not show the batch.
    #[arg(
        long = "log",
        env = "LOG_URL",
        value_name = "URL",
        hide_env_values = true,
        global = true,
        help_heading = "Event log"
    )]
    pub log_url: Option<SecretString>,
    /// Its password, where the URL has none.
    #[command(flatten)]
    pub log_password: LogPassword,
    /// Where /healthz, /readyz and /metrics of `schedule` answer; 0.0.0.0:5004 lets other machines ask.
    #[arg(
        long,
        env = "LISTEN",
        default_value = "127.0.0.1:5004",
        value_name = "ADDRESS:PORT",
        global = true,
        help_heading = "This process"
    )]
    pub listen: SocketAddr,
    /// Where log lines go.
    #[command(flatten)]
    pub log_output: LogOutput,
    /// When it runs, and how long ticks are kept.
    #[command(flatten)]
    pub batch: BatchConfig,
    /// What to do.
    #[command(subcommand)]
    pub command: BatchCommand,
}

/// The commands of the batch.
#[derive(Clone, Debug, Subcommand)]
pub enum BatchCommand {
    /// Aggregate the days that are due: those without a row that have ended, oldest first, and the last one again. With --date
    /// that day, again if need be. Running again changes nothing where nothing new was stored.
    Run {
        /// This trading day: 2026-01-13.
        #[arg(long, value_name = "DATE")]
        date: Option<NaiveDate>,
        /// Only this symbol.
        #[arg(long)]
        symbol: Option<Symbol>,
        /// Print the rows, and store nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Aggregate every day of a range, again if need be.
    Backfill {
        /// The first trading day.
        #[arg(long, value_name = "DATE")]
        from: NaiveDate,
        /// The last trading day [default: the newest that has ended].
        #[arg(long, value_name = "DATE")]
        to: Option<NaiveDate>,
        /// Only this symbol.
        #[arg(long)]
        symbol: Option<Symbol>,
    },
    /// Print the last runs.
    Status,
    /// Remove ticks and one-minute candles past the retention, of aggregated days only; `schedule` does it every hour.
    Prune,
    /// Run by the schedule until the shutdown.
    Schedule,
}

/// Ticks are kept so many days without a setting.
const DEFAULT_DAYS: u32 = 90;
/// The live store takes so much at most without a setting.
const DEFAULT_MAX_GB: f64 = 20.0;
/// The end of the day, of a default.
const DEFAULT_SCHEDULE: &str = "0 0 * * *";

impl Default for BatchConfig {
    fn default() -> Self {
        Self {
            schedule: DEFAULT_SCHEDULE.to_owned(),
            timezone: Tz::UTC,
            retention: RetentionSettings::default(),
        }
    }
}

/// When the batch runs.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Batch")]
pub struct BatchConfig {
    /// When the batch runs, in cron syntax: minute, hour, day of month, month, day of week. Days that end in the minutes before
    /// are waited for.
    #[arg(
        id = "batch-schedule",
        long,
        env = "BATCH_SCHEDULE",
        default_value = DEFAULT_SCHEDULE,
        value_name = "CRON",
        global = true
    )]
    pub schedule: String,
    /// The time zone of the schedule: America/New_York.
    #[arg(
        id = "batch-timezone",
        long,
        env = "BATCH_TIMEZONE",
        default_value = "UTC",
        value_name = "ZONE",
        global = true
    )]
    pub timezone: Tz,
    /// How long ticks are kept.
    #[command(flatten)]
    pub retention: RetentionSettings,
}

/// How long ticks and one-minute candles are kept, whichever limit comes first. Days that are not aggregated are kept in any case.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(next_help_heading = "Retention")]
pub struct RetentionSettings {
    /// Ticks and one-minute candles are kept so many days. Days that are not aggregated are kept longer.
    #[arg(
        id = "retention-days",
        long,
        env = "RETENTION_DAYS",
        default_value_t = DEFAULT_DAYS,
        value_name = "DAYS",
        global = true,
        value_parser = clap::value_parser!(u32).range(1..=36_500)
    )]
    pub retention_days: u32,
    /// The former name; the longer time counts.
    #[arg(
        id = "consumer-retention-days",
        long,
        env = "CONSUMER_RETENTION_DAYS",
        default_value = "",
        value_name = "DAYS",
        global = true,
        hide = true,
        value_parser = former_days
    )]
    consumer_retention_days: FormerDays,
    /// The live store takes so many GB (10^9 bytes) at most; beyond them the oldest days are removed, also before
    /// --retention-days. A tick takes some 200 bytes: 20 ticks/s are 35 GB in 90 days.
    #[arg(
        id = "retention-max-gb",
        long,
        env = "RETENTION_MAX_GB",
        default_value_t = DEFAULT_MAX_GB,
        value_name = "GB",
        global = true,
        value_parser = gigabytes
    )]
    pub retention_max_gb: f64,
}

/// Days of the former setting; `None` where its variable is empty.
#[derive(Clone, Copy, Debug)]
struct FormerDays(Option<u32>);

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            retention_days: DEFAULT_DAYS,
            consumer_retention_days: FormerDays(None),
            retention_max_gb: DEFAULT_MAX_GB,
        }
    }
}

impl RetentionSettings {
    /// Ticks are kept so many days.
    pub fn days(&self) -> u32 {
        let FormerDays(former) = self.consumer_retention_days;
        self.retention_days.max(former.unwrap_or(0))
    }

    /// The store takes so many bytes at most.
    pub fn max_bytes(&self) -> u64 {
        (self.retention_max_gb * 1e9) as u64
    }
}

fn former_days(text: &str) -> Result<FormerDays, String> {
    if text.is_empty() {
        return Ok(FormerDays(None));
    }
    let days = text.parse().ok().filter(|days| (1..=36_500).contains(days));
    days.map(|days| FormerDays(Some(days)))
        .ok_or_else(|| "must be a number of days from 1 to 36500".to_owned())
}

fn gigabytes(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.001..=1e6).contains(number));
    number.ok_or_else(|| "must be a number of GB from 0.001 to 1000000".to_owned())
}

impl BatchConfig {
    /// The schedule.
    ///
    /// # Errors
    /// A text that is no cron syntax, named with its setting.
    pub fn schedule(&self) -> anyhow::Result<Schedule> {
        let of = || format!("--batch-schedule (BATCH_SCHEDULE) `{}`", self.schedule);
        Schedule::parse(&self.schedule, self.timezone).with_context(of)
    }
}
