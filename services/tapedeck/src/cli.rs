//! The command line: every flag with its environment variable, its default and its manual.

use std::{net::SocketAddr, path::PathBuf};

use alerts::AlertsConfig;
use batch::BatchConfig;
use clap::{Parser, Subcommand};
use clap_complete::Shell;
use consumer::ConsumerConfig;
use live_store::{StorePassword, StoreSettings};
use mailer::MailSettings;
use market::Symbol;
use news::NewsConfig;
use producer::{AskSettings, ProducerConfig, Speed};
use service_runtime::{HELP_END, LogOutput, LogPassword, PublicAddress, SecretString};
use web::WebConfig;

use crate::{
    alerts::AlertsCommandArgs,
    backfill::BackfillArgs,
    batch::{AnalyticsPlace, BatchArgs},
    demo::DemoArgs,
    gaps::GapsArgs,
    mail::MailCommand,
    moving::{CopyArgs, ExportArgs, ImportArgs, StorePlace},
    news::NewsArgs,
    user::UserArgs,
};

/// Market data on your own machine: live prices of stocks and crypto, from the feed to the chart.
#[derive(Debug, Parser)]
#[command(name = "tapedeck", version, propagate_version = true, after_help = HELP_END)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) log_output: LogOutput,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start every service in one process, and watch prices at http://localhost:5000.
    Run(Box<RunArgs>),
    /// Show the dashboard over historical prices that the program contains, without a network, in a temporary folder.
    Demo(Box<DemoArgs>),
    /// Publish recorded files to the log, wait until the consumer has stored them, and exit.
    Replay(ReplayArgs),
    /// Fetch the daily candles of past years that are missing; run it again to continue. Exits with 1 if a symbol failed.
    Backfill(Box<BackfillArgs>),
    /// List the feeds with what each can do; `feeds test SYMBOL` requests a symbol from each once.
    Feeds(FeedsArgs),
    /// List the times in which feeds may lack trades, and what became of them.
    Gaps(GapsArgs),
    /// Print the ticks of a symbol as they are stored.
    Tail(TailArgs),
    /// Show on one screen whether the running instance works: its prices, rates and latencies, and what is down and why.
    Status(StatusArgs),
    /// Check whether a service is ready; exits with 1 if it is not. For health checks of containers.
    Health(HealthArgs),
    /// Inspect the topics of the event log, and redeliver dead letters.
    Topics(TopicsArgs),
    /// Create or update the tables or collections of a live store, and list the changes.
    Migrate(MigrateArgs),
    /// Export ticks and candles into a folder of compressed files, as a backup or to move them to another store.
    Export(ExportArgs),
    /// Import an exported folder into a store. Existing rows are not changed, except candles in progress that the archive has more complete; an import can be repeated.
    Import(ImportArgs),
    /// Copy a store into another one: tapedeck copy data mongodb://localhost/stock_market.
    Copy(CopyArgs),
    /// Aggregate the days of a store into its analytics store by hand, with SMA 20 and RSI 14; `run` does it every night.
    Batch(BatchArgs),
    /// Show the alerts of a store, and what was mailed to whom.
    Alerts(AlertsCommandArgs),
    /// Prepare Elasticsearch for the log lines of the services.
    Logs {
        /// The command.
        #[command(subcommand)]
        command: LogsCommand,
    },
    /// Try the settings of the mail server.
    Mail {
        /// The command.
        #[command(subcommand)]
        command: MailCommand,
    },
    /// Gather the news of the watched symbols by hand; `run` does it every half hour.
    News(Box<NewsArgs>),
    /// Add, list and remove the accounts of people.
    User(UserArgs),
    /// Check everything that flags and variables name, and list the problems with their fixes.
    Config {
        /// The command.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a completion script: tapedeck completions bash > ~/.local/share/bash-completion/completions/tapedeck.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Locations of the data. Global, so that `topics` takes them before and after what it is to show.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct Places {
    /// Data folder, for one instance at a time [default: data, or data/simulated for simulated prices].
    #[arg(long, env = "DATA", value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// Event log instead of the embedded one: kafka://host:9092[,host:9092],
    /// kafka+tls://user@host:9093?sasl=scram-sha-512&ca=/path/ca.pem, or sqlite:PATH.
    #[arg(long, env = "LOG_URL", value_name = "URL", hide_env_values = true, global = true)]
    pub(crate) log: Option<SecretString>,
    /// Its password, if the URL has none.
    #[command(flatten)]
    pub(crate) log_password: LogPassword,
    /// Live store instead of the embedded one: mongodb://host[:port][/database][?tls=true&...] or sqlite:PATH.
    #[arg(long, env = "STORE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) store: Option<SecretString>,
    /// Its password, if the URL has none.
    #[command(flatten)]
    pub(crate) store_password: StorePassword,
}

impl Places {
    /// URL of the log from flag or variable, with its password; `None` for the embedded one.
    pub(crate) fn log_url(&self) -> anyhow::Result<Option<SecretString>> {
        self.log.as_ref().map(|url| self.log_password.fill(url)).transpose()
    }

    /// URL of the store from flag or variable, with its password; `None` for the embedded one.
    pub(crate) fn store_url(&self) -> anyhow::Result<Option<SecretString>> {
        Ok(self.store.as_ref().map(|url| self.store_password.fill(url)).transpose()?)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) producer: ProducerConfig,
    #[command(flatten)]
    pub(crate) consumer: ConsumerConfig,
    #[command(flatten)]
    pub(crate) web: WebConfig,
    #[command(flatten)]
    pub(crate) batch: BatchConfig,
    #[command(flatten)]
    pub(crate) alerts: AlertsConfig,
    #[command(flatten)]
    pub(crate) mail: MailSettings,
    #[command(flatten)]
    pub(crate) public: PublicAddress,
    #[command(flatten)]
    pub(crate) analytics: AnalyticsPlace,
    #[command(flatten)]
    pub(crate) news: NewsConfig,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogsCommand {
    /// Create or update the index template of the data stream stock-system-logs, and list the changes. Services do the same when they
    /// start; this command is for a user with more rights than theirs.
    Setup,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Connect to everything, and exit with 1 if something does not work. Takes the flags and variables of `run`. Changes
    /// nothing.
    Check(Box<CheckArgs>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also publish one record to the topic tapedeck-check, which is created: checks the permission to write, and the
    /// difference to the broker's clock.
    #[arg(long)]
    pub(crate) probe: bool,
    /// Settings that cannot be parsed.
    #[arg(skip)]
    pub(crate) faults: Vec<Fault>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// A setting whose value cannot be parsed.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Flag and variable: `--watchlist (WATCHLIST)`.
    pub(crate) setting: String,
    pub(crate) reason: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// Recorded Binance or Coinbase socket frames, ticks as JSON Lines or CSV, candles as CSV, or Binance's data files; also compressed
    /// with gzip.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The symbol of candle files that are not named for theirs.
    #[arg(long, value_name = "SYMBOL")]
    pub(crate) symbol: Option<Symbol>,
    /// Multiple of the recorded speed, or max.
    #[arg(long, default_value = "max", value_name = "N|max")]
    pub(crate) speed: Speed,
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) consumer: ConsumerConfig,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FeedsArgs {
    #[command(subcommand)]
    pub(crate) command: Option<FeedsCommand>,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum FeedsCommand {
    /// Request a symbol once from each feed that has its kind, and print what it answered and how long it took. Exits with 1 if none has
    /// a price.
    Test {
        /// The symbol: AAPL, BRK.B, BTC/USDT.
        symbol: Symbol,
        // On the heap: the other commands are much smaller.
        #[command(flatten)]
        settings: Box<AskSettings>,
        /// Where the calls of keys are counted.
        #[command(flatten)]
        place: StorePlace,
    },
}

/// The running instance.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Instance {
    /// Address of the running instance.
    #[arg(long, env = "TAPEDECK_URL", default_value = "http://127.0.0.1:5000", value_name = "URL")]
    pub(crate) url: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TailArgs {
    /// The symbol: AAPL, BRK.B, BTC/USDT.
    pub(crate) symbol: Symbol,
    #[command(flatten)]
    pub(crate) instance: Instance,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// Print everything as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print all parts, partitions and figures as tables.
    #[arg(long, conflicts_with = "json")]
    pub(crate) metrics: bool,
    #[command(flatten)]
    pub(crate) instance: Instance,
}

#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) store: StoreSettings,
}

#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// Address of the service. For 0.0.0.0 the check connects to 127.0.0.1.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:5000", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TopicsArgs {
    /// What to show; without it, a list of the topics.
    #[command(subcommand)]
    pub(crate) command: Option<TopicsCommand>,
    #[command(flatten)]
    pub(crate) places: Places,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Every topic with its partitions and records.
    List,
    /// The lag of a consumer group on each partition.
    Offsets {
        /// The group.
        #[arg(long, env = "CONSUMER_GROUP", default_value = "stock-consumer-group")]
        group: String,
    },
    /// The newest records of a topic, one JSON object per line.
    Peek {
        /// The topic.
        topic: String,
        /// Only this partition.
        #[arg(long)]
        partition: Option<i32>,
        /// Start at this offset instead of the newest records.
        #[arg(long, requires = "partition")]
        offset: Option<u64>,
        /// Limit of records for each partition.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        max: u16,
    },
    /// Records that could not be decoded, with reason, origin and time.
    DeadLetters {
        /// Limit of records for each partition.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        max: u16,
    },
    /// Publish dead letters that can be decoded now, after a clock was set or an upgrade, to their original topics again.
    /// Records that are stored already are not stored twice.
    Redeliver {
        /// Only dead letters of this topic: stock-prices.dlq.
        topic: Option<String>,
    },
}
