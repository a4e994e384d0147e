//! Finnhub: polls `quote`, stock after stock, with a key in a header. Its quotes have no volume.

pub(crate) mod parse;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, SubsecRound, Utc};
use market::{AssetClass, Source, Symbol, Tick, TickFields, is_open};
use rand::RngExt;
use rust_decimal::Decimal;
use service_runtime::{ExposeSecret, SecretString};
use tokio::time::Instant;
use url::Url;

use self::parse::{Answer, ParseError};
use super::{
    Abilities, AskSettings, Feed, FeedContext, Prices,
    rest::{Api, KeyPlace},
    without,
};
use crate::{
    config::ProducerConfig,
    feed_health::FeedHealth,
    publish::Outlet,
    supervise::{FeedError, keep_alive},
    tails,
};

const USER_AGENT: &str = concat!("tapedeck/", env!("CARGO_PKG_VERSION"));
/// While the exchange is closed, polls are so many times rarer.
const CLOSED_FACTOR: u32 = 8;
/// A stock that the provider does not have is requested again after so many rounds.
const REFUSED_ROUNDS: u64 = 240;
/// The calls of a minute are so much further apart than the limit requires: its minutes are not ours.
const MARGIN: f64 = 1.05;
/// A value that means that there is no key: a compose file passes it on.
const NONE: &str = "none";
const NO_KEY: &str = "finnhub needs a key; set --finnhub-key (FINNHUB_KEY)";

pub(crate) static FEED: Feed = Feed {
    name: "finnhub",
    task: "feed finnhub",
    summary: "Finnhub: stocks, polled, with a key, without volumes",
    prices: Prices::Live(AssetClass::Stock),
    abilities: Abilities {
        delivery: "polled, 15 s, more with many symbols; 2 min while the exchange is closed",
        volume: "none",
        history: "none",
        repair: "none",
        budget: "calls of the key a minute, of this process; pauses that it requires are kept",
    },
    ask: Some(|settings, _, symbol| Box::pin(ask(settings, symbol))),
    probe: None,
    daily: None,
    check: Some(check),
    has_ledger: false,
    run: |context| Box::pin(run(context)),
};

/// The settings of Finnhub.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Finnhub")]
pub struct FinnhubArgs {
    /// finnhub: its key; none for no key.
    #[arg(long, env = "FINNHUB_KEY", value_name = "KEY", hide_env_values = true)]
    pub finnhub_key: Option<SecretString>,
    /// finnhub: where its quotes are.
    #[arg(long, env = "FINNHUB_URL", default_value = "https://finnhub.io", value_name = "URL")]
    pub finnhub_url: Url,
    /// finnhub: calls a minute that the account allows; 60 of a free one. A process that shares the key has calls of its own: divide
    /// them.
    #[arg(long, env = "FINNHUB_CALLS_PER_MINUTE", default_value_t = 60, value_name = "CALLS",
          value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub finnhub_calls_per_minute: u32,
}

impl FinnhubArgs {
    fn key(&self) -> anyhow::Result<&SecretString> {
        let is_key = |key: &&SecretString| ![NONE, ""].contains(&key.expose_secret().trim());
        self.finnhub_key.as_ref().filter(is_key).context(NO_KEY)
    }

    /// Between two requests.
    fn interval(&self) -> Duration {
        Duration::from_mins(1).div_f64(f64::from(self.finnhub_calls_per_minute)).mul_f64(MARGIN)
    }
}

/// Whether the feed can be run with these settings.
fn check(config: &ProducerConfig) -> anyhow::Result<()> {
    config.finnhub.key().map(drop)
}

/// The quote of one stock.
async fn ask(settings: &AskSettings, symbol: Symbol) -> Result<String, FeedError> {
    match Quotes::new(&settings.finnhub)?.quote(symbol).await? {
        Ok(tick) => Ok(format!(
            "{symbol} {} at {}, {:+.2} %",
            tick.price,
            tick.timestamp.format("%F %T UTC"),
            tick.change_percent
        )),
        Err(Unusable { reason, .. }) => Err(FeedError::Request { reason }),
    }
}

/// Polls until the shutdown.
async fn run(context: FeedContext) -> anyhow::Result<()> {
    let link = context.link(FEED.name);
    let FeedContext { config, symbols, log, outlet, health, .. } = context;
    let quotes = Quotes::new(&config.finnhub)?;
    let tails = tails::read(&*log, quotes.source).await.context("cannot see where the last run ended")?;
    let seen = tails.newest.iter().map(|tick| (tick.symbol, (tick.timestamp, tick.price))).collect();
    let state = Mutex::new(State { seen, last_seq: tails.highest_seq });
    let feed = Finnhub { config, symbols, quotes, outlet, health, state };
    keep_alive(&link, |reason| feed.health.down(reason), || feed.poll()).await
}

/// The endpoint of the quotes.
struct Quotes {
    api: Api,
    source: Source,
}

/// Why there is no price of a symbol.
struct Unusable {
    reason: String,
    /// The provider does not have the symbol.
    is_refused: bool,
}

impl Quotes {
    fn new(settings: &FinnhubArgs) -> anyhow::Result<Self> {
        let source = Source::parse(FEED.name).context("the name of the source")?;
        let (key, place) = (settings.key()?.clone(), KeyPlace::Header("x-finnhub-token"));
        let api = Api::with_key(USER_AGENT, settings.finnhub_url.clone(), place, key)?;
        Ok(Self { api, source })
    }

    /// The quote of a stock, or why there is none although the provider answers.
    async fn quote(&self, symbol: Symbol) -> Result<Result<Tick, Unusable>, FeedError> {
        let answer = match self.api.get::<Answer>("api/v1/quote", &[("symbol", symbol.as_str())]).await {
            Err(FeedError::Request { reason }) => return Ok(Err(Unusable { reason, is_refused: true })),
            answer => answer?,
        };
        if let Some(reason) = &answer.error {
            let reason = self.api.shown_reason(reason);
            return Err(FeedError::provider(format!("finnhub refuses with status 200: {reason}")));
        }
        let parsed = parse::parse(&answer, symbol, self.source, Utc::now().trunc_subsecs(6));
        Ok(parsed.map_err(|error| Unusable {
            is_refused: matches!(error, ParseError::UnknownSymbol),
            reason: error.to_string(),
        }))
    }
}

struct Finnhub {
    config: ProducerConfig,
    symbols: Vec<Symbol>,
    quotes: Quotes,
    outlet: Outlet,
    health: FeedHealth,
    state: Mutex<State>,
}

/// What earlier rounds have passed on.
struct State {
    /// Time and price of each symbol's newest tick: an answer that repeats them is not passed on.
    seen: HashMap<Symbol, (DateTime<Utc>, Decimal)>,
    last_seq: u64,
}

impl Finnhub {
    async fn poll(&self) -> Result<(), FeedError> {
        // Symbols without an answer, with the round in which they were requested, and the reason.
        let mut refused: BTreeMap<Symbol, (u64, String)> = BTreeMap::new();
        for round in 0.. {
            let begun = Instant::now();
            for symbol in &self.symbols {
                if refused.get(symbol).is_some_and(|(asked, _)| round < asked + REFUSED_ROUNDS) {
                    continue;
                }
                // Before the request, so that a connection that ends at once is not followed by a request within the interval.
                tokio::time::sleep(self.config.finnhub.interval()).await;
                match self.quotes.quote(*symbol).await? {
                    Ok(tick) => {
                        refused.remove(symbol);
                        if let Some(tick) = self.numbered(tick).context("a tick of finnhub")? {
                            self.outlet.offer(&[tick]).await?;
                        }
                    }
                    Err(Unusable { reason, is_refused }) => {
                        self.outlet.metrics().errors.add(1);
                        tracing::warn!(%symbol, reason, "finnhub has no price of a stock");
                        // An answer that cannot be read may be another one in the next round.
                        let asked = if is_refused { round } else { round.saturating_sub(REFUSED_ROUNDS - 1) };
                        refused.insert(*symbol, (asked, reason));
                    }
                }
            }
            let polled = self.symbols.len() - refused.len();
            if polled == 0 {
                let reason = refused.into_values().next().map(|(_, reason)| reason).unwrap_or_default();
                return Err(FeedError::provider(format!("no answer could be read: {reason}")));
            }
            let reasons = refused.iter().map(|(symbol, (_, reason))| (*symbol, reason.as_str()));
            let detail = format!("{polled} symbols, polled; no volumes{}", without(reasons));
            self.health.up_without(&detail, refused.keys().copied());
            tokio::time::sleep_until(begun + self.pause(Utc::now())).await;
        }
        Ok(())
    }

    /// From the begin of one round to that of the next, a tenth more or less, so that instances do not come together.
    fn pause(&self, now: DateTime<Utc>) -> Duration {
        let rarer = if is_open(AssetClass::Stock, now) { 1 } else { CLOSED_FACTOR };
        Duration::from_millis(self.config.poll_ms).mul_f64(rand::rng().random_range(0.9..1.1)) * rarer
    }

    /// `None` where the answer repeats the last one; otherwise the tick under a number of its own.
    fn numbered(&self, tick: Tick) -> Result<Option<Tick>, market::TickError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = (tick.timestamp, tick.price);
        if state.seen.insert(tick.symbol, newest) == Some(newest) {
            return Ok(None);
        }
        state.last_seq = tick.seq.max(state.last_seq + 1);
        Tick::new(TickFields { seq: state.last_seq, ..tick.into_fields() }).map(Some)
    }
}

#[cfg(test)]
mod tests;
