//! The command line: every flag with its environment variable, its default and its manual.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Parser, Subcommand};
use clap_complete::Shell;
use consumer::ConsumerConfig;
use live_store::{StorePassword, StoreSettings};
use market::Symbol;
use producer::{ProducerConfig, Speed};
use service_runtime::{HELP_END, LogFormat, LogPassword, SecretString};
use web::WebConfig;

use crate::moving::{CopyArgs, ExportArgs, ImportArgs};

/// Market data on your own machine: live prices of stocks and crypto, from the feed to the chart.
#[derive(Debug, Parser)]
#[command(name = "tapedeck", version, propagate_version = true, after_help = HELP_END)]
pub struct Cli {
    /// How log lines on stderr look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t, global = true)]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start every service in one process, and watch prices at http://localhost:5000.
    Run(Box<RunArgs>),
    /// Play recorded files through log and consumer into the store, then leave.
    Replay(ReplayArgs),
    /// Follow a symbol's ticks in the terminal.
    Tail(TailArgs),
    /// How the running instance is doing.
    Status(StatusArgs),
    /// Whether the service that listens here does its work; fails where it does not, for health checks.
    Health(HealthArgs),
    /// Look into the event log.
    Topics(TopicsArgs),
    /// Create or bring up to date the tables or collections of a live store, and say what was done.
    Migrate(MigrateArgs),
    /// Write ticks and bars into a folder of packed files: a backup, or the first half of a move.
    Export(ExportArgs),
    /// Bring an exported folder into a store. What is in the store stays; it can be repeated at will.
    Import(ImportArgs),
    /// Copy one store into another: tapedeck copy data mongodb://localhost/stock_market.
    Copy(CopyArgs),
    /// Look at everything that flags and environment name, and say what is wrong and how to mend it.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a completion script: tapedeck completions bash > ~/.local/share/bash-completion/completions/tapedeck.
    Completions {
        /// For this shell.
        shell: Shell,
    },
}

/// Where data lies.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Where data lies")]
pub(crate) struct Places {
    /// Data folder; one instance at a time [default: data, and data/simulated for simulated prices].
    #[arg(long, env = "DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Event log instead of the embedded one: kafka://host:9092[,host:9092],
    /// kafka+tls://user@host:9093?sasl=scram-sha-512&ca=/path/ca.pem, or sqlite:PATH.
    #[arg(long, env = "LOG_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) log: Option<SecretString>,
    /// Its password, where the URL has none.
    #[command(flatten)]
    pub(crate) log_password: LogPassword,
    /// Live store instead of the embedded one: mongodb://host[:port][/database][?tls=true&...] or sqlite:PATH.
    #[arg(long, env = "STORE_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) store: Option<SecretString>,
    /// Its password, where the URL has none.
    #[command(flatten)]
    pub(crate) store_password: StorePassword,
}

impl Places {
    /// The log that a flag or variable names, with its password.
    pub(crate) fn log_url(&self) -> anyhow::Result<Option<SecretString>> {
        self.log.as_ref().map(|url| self.log_password.fill(url)).transpose()
    }

    /// The store that a flag or variable names, with its password.
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
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Connect to everything; exits with 1 where something does not work. Takes the flags and variables of `run`, and
    /// changes nothing.
    Check(Box<CheckArgs>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Also publish one record to the topic tapedeck-check, which is created: shows the right to write, and the difference
    /// to the broker's clock.
    #[arg(long)]
    pub(crate) probe: bool,
    /// What could not be read of the settings.
    #[arg(skip)]
    pub(crate) faults: Vec<Fault>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// A setting whose value cannot be read.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// `--watchlist (WATCHLIST)`.
    pub(crate) setting: String,
    pub(crate) reason: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// Recorded Binance or Coinbase socket frames, ticks as JSON Lines or CSV, or daily bars as CSV.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Times the recorded pace, or max.
    #[arg(long, default_value = "max", value_name = "N|max")]
    pub(crate) speed: Speed,
    #[command(flatten)]
    pub(crate) places: Places,
    #[command(flatten)]
    pub(crate) consumer: ConsumerConfig,
}

/// Where the running instance answers.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Instance {
    /// Address of the running instance.
    #[arg(long, env = "TAPEDECK_URL", default_value = "http://127.0.0.1:5000", value_name = "URL")]
    pub(crate) url: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TailArgs {
    /// AAPL, BRK.B, BTC/USDT.
    pub(crate) symbol: Symbol,
    #[command(flatten)]
    pub(crate) instance: Instance,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// The figures as JSON.
    #[arg(long)]
    pub(crate) json: bool,
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
    /// Where the service listens. 0.0.0.0, any address, is asked at 127.0.0.1.
    #[arg(long, env = "LISTEN", default_value = "127.0.0.1:5000", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, clap::Args)]
pub(crate) struct TopicsArgs {
    /// What to look at; a list of the topics when left out.
    #[command(subcommand)]
    pub(crate) command: Option<TopicsCommand>,
    #[command(flatten)]
    pub(crate) places: Places,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Every topic with its partitions and records.
    List,
    /// How far a consumer group is behind, partition by partition.
    Offsets {
        /// The group.
        #[arg(long, env = "CONSUMER_GROUP", default_value = "stock-consumer-group")]
        group: String,
    },
    /// The newest records of a topic, one JSON object a line.
    Peek {
        /// The topic.
        topic: String,
        /// Only this partition.
        #[arg(long)]
        partition: Option<i32>,
        /// From this offset on instead of the newest.
        #[arg(long, requires = "partition")]
        offset: Option<u64>,
        /// At most so many of each partition.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        max: u16,
    },
    /// What could not be read, with the reason, origin and time.
    DeadLetters {
        /// At most so many of each partition.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=10_000))]
        max: u16,
    },
    /// Send dead letters that can be read by now, after a clock was set or a newer version came, back into the topics they
    /// came from. What is stored already is not stored twice.
    Redeliver {
        /// Only those of this topic: stock-prices.dlq.
        topic: Option<String>,
    },
}
