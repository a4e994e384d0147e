//! The settings of the batch, and its commands.

use analytics_store::AnalyticsSettings;
use anyhow::Context;
use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::Subcommand;
use job_runner::Schedule;
use live_store::StoreSettings;
use market::Symbol;
use service_runtime::{HELP_END, LogOutput};

/// Exit codes, for `--help`.
pub const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 a day or symbol failed, or a store is unavailable; 2 wrong arguments.";

/// The nightly aggregation: reads each day of each symbol from the live store, and writes its row, with SMA 20 and RSI 14, into
/// the analytics store.
///
/// Example: batch run --date 2026-01-13 --store mongodb://localhost/stock_market --analytics mysql://localhost/stock_analytics.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "batch", version, after_help = HELP_END, after_long_help = EXIT_CODES)]
pub struct BatchArgs {
    /// The live store.
    #[command(flatten)]
    pub store: StoreSettings,
    /// The analytics store.
    #[command(flatten)]
    pub analytics: AnalyticsSettings,
    /// Where log lines go.
    #[command(flatten)]
    pub log_output: LogOutput,
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
    /// Run by the schedule until the shutdown.
    Schedule(BatchConfig),
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
        default_value = "0 0 * * *",
        value_name = "CRON"
    )]
    pub schedule: String,
    /// The time zone of the schedule: America/New_York.
    #[arg(id = "batch-timezone", long, env = "BATCH_TIMEZONE", default_value = "UTC", value_name = "ZONE")]
    pub timezone: Tz,
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
