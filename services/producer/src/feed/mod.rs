//! One file or folder per feed, and one line in [`FEEDS`]. A feed's parser is pure and stands apart from its connection.

pub(crate) mod alpha_vantage;
pub(crate) mod binance;
pub(crate) mod coinbase;
pub(crate) mod epoch;
mod fields;
mod figures;
pub(crate) mod finnhub;
pub(crate) mod kraken;
mod live;
pub(crate) mod minutes;
pub(crate) mod replay;
pub(crate) mod rest;
pub(crate) mod simulated;
mod socket;
pub(crate) mod yahoo;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use event_log::EventLog;
use futures_util::future::BoxFuture;
use live_store::{KeyCallStore, LiveStore};
use market::{AssetClass, Candle, Symbol};
use tokio_util::sync::CancellationToken;

use crate::{
    config::ProducerConfig,
    feed_health::FeedHealth,
    gaps::GapSender,
    publish::Outlet,
    supervise::{FeedError, Link},
};

/// Every feed. Of those that serve one asset class and need no key, `auto` takes the first that answers.
pub(crate) static FEEDS: [&Feed; 8] = [
    &binance::FEED,
    &coinbase::FEED,
    &kraken::FEED,
    &yahoo::FEED,
    &alpha_vantage::FEED,
    &finnhub::FEED,
    &simulated::FEED,
    &replay::FEED,
];

/// Whether a provider answers; the watched symbols of its asset class that it refuses, with the reason.
type Probe = for<'a> fn(&'a ProducerConfig) -> BoxFuture<'a, anyhow::Result<Vec<(Symbol, String)>>>;

/// From a time to a time.
pub(crate) type Span = (DateTime<Utc>, DateTime<Utc>);

/// Where candles of the past are requested.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Prices")]
pub struct HistorySettings {
    /// Binance.
    #[command(flatten)]
    pub binance: binance::BinanceArgs,
    /// Coinbase.
    #[command(flatten)]
    pub coinbase: coinbase::CoinbaseArgs,
    /// Kraken.
    #[command(flatten)]
    pub kraken: kraken::KrakenArgs,
    /// Yahoo.
    #[command(flatten)]
    pub yahoo: yahoo::YahooArgs,
}

/// Where one symbol is requested, with the keys that some providers need.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Prices")]
pub struct AskSettings {
    /// Providers without a key.
    #[command(flatten)]
    pub history: HistorySettings,
    /// Alpha Vantage.
    #[command(flatten)]
    pub alpha_vantage: alpha_vantage::AlphaVantageArgs,
    /// Finnhub.
    #[command(flatten)]
    pub finnhub: finnhub::FinnhubArgs,
}

/// A provider's daily candles of the past.
pub(crate) trait DailyHistory: Send + Sync {
    /// Requests the daily candles of a span; those of days that have not ended at `now` are left out.
    fn daily(
        &self,
        symbol: Symbol,
        span: Span,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Vec<Candle>, FeedError>>;
}

/// Requests one symbol; what the provider answered, for people. A call of a key is taken from the ledger, where there is one.
pub(crate) type Ask = for<'a> fn(
    &'a AskSettings,
    Option<Arc<dyn KeyCallStore>>,
    Symbol,
) -> BoxFuture<'a, Result<String, FeedError>>;

/// What a feed can do, in the words of its table.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// How prices come.
    pub delivery: &'static str,
    /// What the volume of its ticks is.
    pub volume: &'static str,
    /// Which candles of the past it has.
    pub history: &'static str,
    /// How far back a gap is filled by itself.
    pub repair: &'static str,
    /// What limits requests.
    pub budget: &'static str,
}

/// What the rest of the producer needs of a feed.
pub(crate) struct Feed {
    /// On the command line, in logs and figures.
    pub(crate) name: &'static str,
    /// The name of its task.
    pub(crate) task: &'static str,
    /// For `--help`.
    pub(crate) summary: &'static str,
    pub(crate) prices: Prices,
    pub(crate) abilities: Abilities,
    /// Requests what it knows of one symbol.
    pub(crate) ask: Option<Ask>,
    /// Whether the provider answers. Feeds that have none are chosen by name only.
    pub(crate) probe: Option<Probe>,
    /// Its daily candles of the past, if the provider has any.
    pub(crate) daily: Option<OpenDaily>,
    /// Why it cannot be run with these settings, such as without a key; `None` where it always can.
    pub(crate) check: Option<fn(&ProducerConfig) -> anyhow::Result<()>>,
    /// It counts the calls of its key in the live store, and does not run without.
    pub(crate) has_ledger: bool,
    /// Runs until the shutdown. Ends with an error only where the feed cannot go on for good.
    pub(crate) run: fn(FeedContext) -> BoxFuture<'static, anyhow::Result<()>>,
}

/// Opens the daily candles of a provider.
pub(crate) type OpenDaily = fn(&HistorySettings) -> anyhow::Result<Box<dyn DailyHistory>>;

/// Which prices a feed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prices {
    /// Live ones of a venue, of one asset class.
    Live(AssetClass),
    /// Invented ones, of every symbol.
    Simulated,
    /// Recorded ones, of the symbols in its files.
    Recorded,
}

/// What a feed runs with.
#[derive(Clone)]
pub(crate) struct FeedContext {
    pub(crate) config: ProducerConfig,
    /// The symbols it serves; none for a replay.
    pub(crate) symbols: Vec<Symbol>,
    /// Why prices are invented, where they are.
    pub(crate) simulated_because: Option<String>,
    /// All feeds of the process are simulated, or none is.
    pub(crate) is_only_kind: bool,
    pub(crate) log: Arc<dyn EventLog>,
    /// The live store, in a process that has one.
    pub(crate) store: Option<Arc<dyn LiveStore>>,
    /// Where its gaps are recorded.
    pub(crate) gaps: GapSender,
    pub(crate) outlet: Outlet,
    pub(crate) health: FeedHealth,
    pub(crate) shutdown: CancellationToken,
}

impl FeedContext {
    /// What keeping the feed connected needs to know.
    pub(crate) fn link(&self, feed: &'static str) -> Link {
        Link {
            feed,
            store: self.store.clone(),
            health: self.health.clone(),
            metrics: self.outlet.metrics().clone(),
            shutdown: self.shutdown.clone(),
        }
    }
}

/// The end of a status line: symbols that the provider does not have, with the reasons. `; not FTM/USDT (Invalid symbol.) and 3 more`.
pub(crate) fn without<'a>(refused: impl ExactSizeIterator<Item = (Symbol, &'a str)>) -> String {
    const MAX_NAMED: usize = 3;
    let others = refused.len().saturating_sub(MAX_NAMED);
    let named: Vec<String> =
        refused.take(MAX_NAMED).map(|(symbol, reason)| format!("{symbol} ({reason})")).collect();
    match (named.is_empty(), others) {
        (true, _) => String::new(),
        (false, 0) => format!("; not {}", named.join(", ")),
        (false, others) => format!("; not {} and {others} more", named.join(", ")),
    }
}
