//! The producer's settings.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use market::Watchlist;
use service_runtime::{HELP_END, LogFormat, LogSettings};
use url::Url;

/// Takes prices from feeds to the event log.
///
/// Example: producer --log kafka://localhost:9092 --provider auto --watchlist AAPL,BTC/USDT
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "producer", version, after_help = HELP_END)]
pub struct ProducerArgs {
    /// The event log.
    #[command(flatten)]
    pub log: LogSettings,
    /// Where /healthz, /readyz and /metrics answer; 0.0.0.0:5001 lets other machines ask.
    #[arg(
        long,
        env = "LISTEN",
        default_value = "127.0.0.1:5001",
        value_name = "ADDRESS:PORT",
        help_heading = "This process"
    )]
    pub listen: SocketAddr,
    /// How log lines look.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t, help_heading = "This process")]
    pub log_format: LogFormat,
    /// The producer's own settings.
    #[command(flatten)]
    pub producer: ProducerConfig,
}

/// Watched unless somebody says otherwise.
const DEFAULT_WATCHLIST: &str =
    "AAPL,MSFT,NVDA,AMZN,GOOGL,META,TSLA,BRK.B,BTC/USDT,ETH/USDT,SOL/USDT,BNB/USDT";

/// What is watched, and where prices come from.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Prices")]
pub struct ProducerConfig {
    /// Where prices come from. auto: Binance and Yahoo where they answer within 3 s, otherwise simulated.
    #[arg(long, env = "PROVIDER", value_enum, default_value_t = ProviderChoice::Auto)]
    pub provider: ProviderChoice,
    /// Symbols to watch, with commas between: stocks (AAPL, BRK.B) and crypto pairs (BTC/USDT); at most 1000.
    #[arg(long, env = "WATCHLIST", default_value = DEFAULT_WATCHLIST, value_name = "SYMBOLS")]
    pub watchlist: Watchlist,
    /// replay: recorded Binance or Coinbase socket frames, ticks as JSON Lines or CSV, or daily bars as CSV.
    #[arg(id = "replay-file", long, value_name = "PATH")]
    pub files: Vec<PathBuf>,
    /// replay: times the recorded pace, or max.
    #[arg(id = "replay-speed", long, env = "REPLAY_SPEED", default_value = "1", value_name = "N|max")]
    pub speed: Speed,
    /// simulated: ticks a second, all symbols together.
    #[arg(id = "simulated-rate", long, env = "SIMULATED_RATE", default_value_t = 20, value_name = "TICKS_PER_SECOND",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// simulated: the same seed makes the same market.
    #[arg(id = "simulated-seed", long, env = "SIMULATED_SEED", default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// simulated: whether stocks trade in the exchange's hours only.
    #[arg(id = "simulated-sessions", long, env = "SIMULATED_SESSIONS", value_enum, default_value_t = Sessions::AlwaysOpen)]
    pub sessions: Sessions,
    /// binance: where its REST interface is.
    #[arg(
        long,
        env = "BINANCE_REST_URL",
        default_value = "https://data-api.binance.vision",
        value_name = "URL"
    )]
    pub binance_rest_url: Url,
    /// binance: where its web socket is.
    #[arg(
        long,
        env = "BINANCE_WS_URL",
        default_value = "wss://data-stream.binance.vision",
        value_name = "URL"
    )]
    pub binance_ws_url: Url,
    /// yahoo: where its charts are.
    #[arg(long, env = "YAHOO_URL", default_value = "https://query1.finance.yahoo.com", value_name = "URL")]
    pub yahoo_url: Url,
    /// A socket that says nothing for so long is taken for dead and opened anew, in milliseconds.
    #[arg(id = "feed-silence-ms", long, env = "FEED_SILENCE_MS", default_value_t = 30_000, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub silence_ms: u64,
    /// Between two questions to a feed that has to be asked, in milliseconds.
    #[arg(id = "feed-poll-ms", long, env = "FEED_POLL_MS", default_value_t = 15_000, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub poll_ms: u64,
}

/// Which providers are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProviderChoice {
    /// Whatever answers.
    Auto,
    /// Binance: crypto, live, without a key.
    Binance,
    /// Yahoo: stocks, polled, without a key, best effort.
    Yahoo,
    /// A market invented here.
    Simulated,
    /// Recorded files.
    Replay,
}

/// Where the prices of some symbols come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Binance.
    Binance,
    /// Yahoo.
    Yahoo,
    /// The simulated market.
    Simulated,
    /// Recorded files.
    Replay,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Binance => "binance",
            Self::Yahoo => "yahoo",
            Self::Simulated => "simulated",
            Self::Replay => "replay",
        })
    }
}

/// When the simulated stocks trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sessions {
    /// Around the clock.
    AlwaysOpen,
    /// In the exchange's hours.
    Respect,
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
