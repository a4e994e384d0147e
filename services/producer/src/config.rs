//! The producer's settings. Those of a single feed are in the feed's file.

use std::{ffi::OsStr, net::SocketAddr};

use clap::{
    Arg, Command,
    builder::TypedValueParser,
    error::{Error, ErrorKind},
};
use live_store::StorePassword;
use market::Watchlist;
use service_runtime::{HELP_END, LogOutput, LogSettings, SecretString};

use crate::{
    feed::{
        alpha_vantage::AlphaVantageArgs, binance::BinanceArgs, coinbase::CoinbaseArgs, finnhub::FinnhubArgs,
        kraken::KrakenArgs, replay::ReplayArgs, simulated::SimulatedArgs, yahoo::YahooArgs,
    },
    price_jump::PriceJumpArgs,
    provider::{ProviderChoice, ProviderOrder},
};

/// Takes prices from feeds to the event log.
///
/// Example: producer --log kafka://localhost:9092 --provider auto --watchlist AAPL,BTC/USDT
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "producer", version, after_help = HELP_END)]
pub struct ProducerArgs {
    /// The event log.
    #[command(flatten)]
    pub log: LogSettings,
    /// The live store.
    #[command(flatten)]
    pub ledger: LedgerSettings,
    /// Address of /healthz, /readyz and /metrics; 0.0.0.0:5001 makes them reachable from other machines.
    #[arg(
        long,
        env = "LISTEN",
        default_value = "127.0.0.1:5001",
        value_name = "ADDRESS:PORT",
        help_heading = "This process"
    )]
    pub listen: SocketAddr,
    /// Where log lines go.
    #[command(flatten)]
    pub log_output: LogOutput,
    /// The producer's own settings.
    #[command(flatten)]
    pub producer: ProducerConfig,
}

/// Where gaps, circuits of feeds and the calls of keys are kept.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Live store")]
pub struct LedgerSettings {
    /// Live store for gaps, failures of feeds, and the calls of keys: mongodb://[user:password@]host[:port][/database] or sqlite:PATH.
    /// Needed by alpha_vantage; the other feeds work without it.
    #[arg(long = "store", env = "STORE_URL", value_name = "URL", hide_env_values = true)]
    pub store_url: Option<SecretString>,
    /// Its password, where the URL has none.
    #[command(flatten)]
    pub password: StorePassword,
}

/// What is watched without a setting.
pub const DEFAULT_WATCHLIST: &str =
    "AAPL,MSFT,NVDA,AMZN,GOOGL,META,TSLA,BRK.B,BTC/USDT,ETH/USDT,SOL/USDT,BNB/USDT";

/// What is watched, and where prices come from.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Prices")]
pub struct ProducerConfig {
    /// Where prices come from. auto: Binance, Coinbase and Kraken in this order, and Yahoo, as far as they answer within 3 s; otherwise
    /// simulated.
    #[arg(long, env = "PROVIDER", value_enum, default_value_t = ProviderChoice::Auto)]
    pub provider: ProviderChoice,
    /// Several providers in order of preference, with commas between: where one has no prices of a symbol, the next one takes over.
    /// Takes precedence over --provider, unless it is none. Example: alpha_vantage,yahoo,simulated
    #[arg(long, env = "PROVIDERS", default_value = "none", value_name = "PROVIDERS")]
    pub providers: ProviderOrder,
    /// Symbols to watch, with commas between: stocks (AAPL, BRK.B) and crypto pairs (BTC/USDT); at most 1000.
    #[arg(long, env = "WATCHLIST", default_value = DEFAULT_WATCHLIST, value_name = "SYMBOLS", value_parser = WatchlistParser)]
    pub watchlist: Watchlist,
    /// Recordings.
    #[command(flatten)]
    pub replay: ReplayArgs,
    /// The simulated market.
    #[command(flatten)]
    pub simulated: SimulatedArgs,
    /// Prices that jump.
    #[command(flatten)]
    pub price_jumps: PriceJumpArgs,
    /// Binance.
    #[command(flatten)]
    pub binance: BinanceArgs,
    /// Coinbase.
    #[command(flatten)]
    pub coinbase: CoinbaseArgs,
    /// Kraken.
    #[command(flatten)]
    pub kraken: KrakenArgs,
    /// Yahoo.
    #[command(flatten)]
    pub yahoo: YahooArgs,
    /// Alpha Vantage.
    #[command(flatten)]
    pub alpha_vantage: AlphaVantageArgs,
    /// Finnhub.
    #[command(flatten)]
    pub finnhub: FinnhubArgs,
    /// A socket without a frame for this long is closed and opened again, in milliseconds.
    #[arg(id = "feed-silence-ms", long, env = "FEED_SILENCE_MS", default_value_t = 30_000, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub silence_ms: u64,
    /// Between two requests to a feed that is polled, in milliseconds.
    #[arg(id = "feed-poll-ms", long, env = "FEED_POLL_MS", default_value_t = 15_000, value_name = "MILLISECONDS",
          value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub poll_ms: u64,
}

/// Characters of a wrong entry of the watch list that its error has.
const MAX_SHOWN_CHARS: usize = 40;

/// Reads a watch list. The error has the first entry that is wrong: clap's own has the whole list, of up to a thousand.
#[derive(Clone)]
pub struct WatchlistParser;

impl ProducerConfig {
    /// The symbols come from files, not from the watch list.
    pub fn is_recorded(&self) -> bool {
        self.providers.is_empty() && self.provider.is_recorded()
    }
}

impl TypedValueParser for WatchlistParser {
    type Value = Watchlist;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Watchlist, Error> {
        let text = value.to_str().ok_or_else(|| Error::new(ErrorKind::InvalidUtf8).with_cmd(cmd))?;
        let parse = |text: &str| text.parse::<Watchlist>();
        let Err(reason) = parse(text) else { return parse.parse_ref(cmd, arg, value) };
        let is_wrong = |entry: &&str| !entry.is_empty() && parse(entry).is_err();
        match text.split(',').map(str::trim).find(is_wrong) {
            Some(entry) => parse.parse_ref(cmd, arg, OsStr::new(&shown(entry))),
            None => Err(Error::raw(ErrorKind::ValueValidation, format!("{reason}\n")).with_cmd(cmd)),
        }
    }
}

/// The beginning of a wrong entry, which is as wrong: no symbol has an ellipsis or a backslash.
fn shown(entry: &str) -> String {
    let mut shown: String = entry.chars().take(MAX_SHOWN_CHARS).collect();
    if shown.len() < entry.len() {
        shown.push('…');
    }
    if shown.contains(char::is_control) { shown.escape_debug().to_string() } else { shown }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Settings {
        #[command(flatten)]
        _producer: ProducerConfig,
    }

    #[test]
    fn a_refused_watch_list_is_not_printed_whole() {
        let refused =
            |list: &str| Settings::try_parse_from(["producer", "--watchlist", list]).unwrap_err().to_string();
        let many: Vec<String> = (0..900).map(|n| format!("A{n}")).collect();
        let error = refused(&format!("{},$$$,{}", many.join(","), many.join(",")));
        assert!(error.contains("'$$$' for '--watchlist <SYMBOLS>'") && error.len() < 400, "{error}");
        let error = refused(&(0..1_001).map(|n| format!("A{n}")).collect::<Vec<_>>().join(","));
        assert!(error.contains("has 1001 symbols") && error.len() < 400, "{error}");
        let error = refused(&format!("MSFT,{}", "A".repeat(20_000)));
        assert!(error.contains("longer than 31 characters") && error.len() < 400, "{error}");
        let error = refused(&format!("AAPL{}X", " ".repeat(100)));
        assert!(error.contains("'AAPL ") && error.len() < 400, "{error}");
        let error = refused("A\u{1b}[31m");
        assert!(error.contains("\\u{1b}") && !error.contains('\u{1b}'), "{error:?}");
        assert!(refused(" , ").contains("the watch list is empty"));
        assert!(Settings::try_parse_from(["producer", "--watchlist", "MSFT,btcusdt"]).is_ok());
    }
}
