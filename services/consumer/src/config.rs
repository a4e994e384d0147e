//! The consumer's settings.

use std::net::SocketAddr;

use live_store::StoreSettings;
use service_runtime::{HELP_END, LogOutput, LogSettings};

/// Reads ticks from the event log into the live store, and closes candles from them.
///
/// Example: consumer --log kafka://localhost:9092 --store sqlite:data/store.db. Start more of them with the same
/// --consumer-group,
/// and they share the partitions.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "consumer", version, after_help = HELP_END)]
pub struct ConsumerArgs {
    /// The event log.
    #[command(flatten)]
    pub log: LogSettings,
    /// The live store.
    #[command(flatten)]
    pub store: StoreSettings,
    /// Where /healthz, /readyz and /metrics answer; 0.0.0.0:5002 lets other machines ask.
    #[arg(
        long,
        env = "LISTEN",
        default_value = "127.0.0.1:5002",
        value_name = "ADDRESS:PORT",
        help_heading = "This process"
    )]
    pub listen: SocketAddr,
    /// Where log lines go.
    #[command(flatten)]
    pub log_output: LogOutput,
    /// The consumer's own settings.
    #[command(flatten)]
    pub consumer: ConsumerConfig,
}

/// How ticks are gathered into batches.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Storing")]
pub struct ConsumerConfig {
    /// Consumer group; its members share the partitions. Candles that providers quote are read in NAME-candles.
    #[arg(
        id = "consumer-group",
        long,
        env = "CONSUMER_GROUP",
        default_value = "stock-consumer-group",
        value_name = "NAME"
    )]
    pub group: String,
    /// A batch is written when it holds so many messages.
    #[arg(id = "consumer-batch-max-messages", long, env = "CONSUMER_BATCH_MAX_MESSAGES", default_value_t = 10_000, value_name = "MESSAGES",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batch_max_messages: u32,
    /// A batch is written when its first message has waited so long, in milliseconds.
    #[arg(id = "consumer-batch-max-age-ms", long, env = "CONSUMER_BATCH_MAX_AGE_MS", default_value_t = 10, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub batch_max_age_ms: u64,
}
