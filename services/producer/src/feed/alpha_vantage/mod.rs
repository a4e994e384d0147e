//! Alpha Vantage: polls `GLOBAL_QUOTE`, stock after stock, as far as the calls of the key go. They are counted in the live store,
//! together with those of the news and of other processes.

pub(crate) mod parse;
mod schedule;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use live_store::{AlphaVantageAccount, CallPurpose, KeyCall, KeyCallStore, KeyId, KeyUsage, LiveStore};
use market::{AssetClass, Source, Symbol, Tick, TickFields};
use service_runtime::SecretString;
use url::Url;

use self::{
    parse::{Answer, ParseError},
    schedule::{Calls, Known, Next},
};
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
/// First wait after a request that failed, which used up a call; doubled up to the longest.
const RETRY_MIN: Duration = Duration::from_mins(1);
/// First wait after the provider required a pause: its message has no time.
const THROTTLED_MIN: Duration = Duration::from_mins(15);
const RETRY_MAX: Duration = Duration::from_hours(1);
/// The plan is made again at least so often: other processes use the key, and clocks are set.
const LONGEST_SLEEP: TimeDelta = TimeDelta::minutes(10);
const NO_KEY: &str = "alpha_vantage needs a key; set --alpha-vantage-key (ALPHA_VANTAGE_KEY)";
const NO_LEDGER: &str =
    "alpha_vantage counts the calls of its key in the live store; set --store (STORE_URL)";

pub(crate) static FEED: Feed = Feed {
    name: "alpha_vantage",
    task: "feed alpha_vantage",
    summary: "Alpha Vantage: stocks, polled a few times a day, with a key",
    prices: Prices::Live(AssetClass::Stock),
    abilities: Abilities {
        delivery: "polled, the calls of a day spread over the session",
        volume: "running total of the session",
        history: "none",
        repair: "none",
        budget: "calls of the key a day and a minute, in the live store",
    },
    ask: Some(|settings, ledger, symbol| Box::pin(ask(settings, ledger, symbol))),
    probe: None,
    daily: None,
    check: Some(check),
    has_ledger: true,
    run: |context| Box::pin(run(context)),
};

/// The settings of Alpha Vantage.
#[derive(Clone, Debug, clap::Args)]
pub struct AlphaVantageArgs {
    /// Its key and limits.
    #[command(flatten)]
    pub account: AlphaVantageAccount,
    /// alpha_vantage: where its quotes are.
    #[arg(
        long,
        env = "ALPHA_VANTAGE_URL",
        default_value = "https://www.alphavantage.co",
        value_name = "URL",
        help_heading = "Alpha Vantage"
    )]
    pub alpha_vantage_url: Url,
}

/// Whether the feed can be run with these settings.
fn check(config: &ProducerConfig) -> anyhow::Result<()> {
    config.alpha_vantage.account.key().context(NO_KEY).map(drop)
}

/// The quote of one stock, for a call of the key.
async fn ask(
    settings: &AskSettings,
    ledger: Option<Arc<dyn KeyCallStore>>,
    symbol: Symbol,
) -> Result<String, FeedError> {
    let quotes = Quotes::new(&settings.alpha_vantage)?;
    // Without a store the call is not counted: it is one of a person.
    if let Some(ledger) = ledger {
        let taken =
            ledger.take_call(&quotes.key, CallPurpose::Prices, &quotes.account.limits(), Utc::now()).await;
        match taken.map_err(|error| FeedError::provider(error.to_string()))? {
            KeyCall::Taken { .. } => {}
            KeyCall::Refused { free_at } => {
                let reason =
                    format!("no call of the key is left; the next at {}", free_at.format("%F %T UTC"));
                return Err(FeedError::Request { reason });
            }
        }
    }
    match quotes.quote(symbol).await? {
        Ok(tick) => Ok(format!(
            "{symbol} {} at {}, {:+.2} %, volume {}",
            tick.price,
            tick.timestamp.format("%F %T UTC"),
            tick.change_percent,
            tick.volume
        )),
        Err(reason) => Err(FeedError::Request { reason }),
    }
}

/// Polls until the shutdown.
async fn run(context: FeedContext) -> anyhow::Result<()> {
    let link = context.link(FEED.name);
    let FeedContext { config, symbols, log, store, outlet, health, .. } = context;
    let quotes = Quotes::new(&config.alpha_vantage)?;
    let ledger = store.context(NO_LEDGER)?;
    let tails = tails::read(&*log, quotes.source).await.context("cannot see where the last run ended")?;
    let known = |tick: &Tick| {
        let known =
            Known { priced_at: Some(tick.timestamp), asked_at: Some(tick.received_at), is_refused: false };
        (tick.symbol, known)
    };
    let state = State {
        known: tails.newest.iter().map(known).collect(),
        seen: tails.newest.iter().map(|tick| (tick.symbol, *tick)).collect(),
        refused: BTreeMap::new(),
        last_seq: tails.highest_seq,
        failures: 0,
    };
    let feed = AlphaVantage { quotes, ledger, symbols, outlet, health, state: Mutex::new(state) };
    keep_alive(&link, |reason| feed.health.down(reason), || feed.poll()).await
}

/// The endpoint of the quotes.
struct Quotes {
    api: Api,
    source: Source,
    account: AlphaVantageAccount,
    key: KeyId,
}

impl Quotes {
    fn new(settings: &AlphaVantageArgs) -> anyhow::Result<Self> {
        let source = Source::parse(FEED.name).context("the name of the source")?;
        let account = settings.account.clone();
        let key: SecretString = account.key().context(NO_KEY)?.clone();
        let id = AlphaVantageAccount::key_id(&key);
        let place = KeyPlace::Parameter("apikey");
        let api = Api::with_key(USER_AGENT, settings.alpha_vantage_url.clone(), place, key)?;
        Ok(Self { api, source, account, key: id })
    }

    /// The quote of a stock, or why there is none although the provider answers.
    ///
    /// # Errors
    /// A provider that does not answer, or refuses the key.
    async fn quote(&self, symbol: Symbol) -> Result<Result<Tick, String>, FeedError> {
        let query = [("function", "GLOBAL_QUOTE"), ("symbol", symbol.as_str())];
        let answer = match self.api.get::<Answer>("query", &query).await {
            Err(FeedError::Request { reason }) => return Ok(Err(reason)),
            answer => answer?,
        };
        match parse::parse(answer, symbol, self.source, Utc::now().trunc_subsecs(6)) {
            Ok(tick) => Ok(Ok(tick)),
            Err(error @ ParseError::Throttled(_)) => Err(FeedError::Provider {
                reason: self.api.shown_reason(&error.to_string()),
                retry_after: Some(THROTTLED_MIN),
            }),
            Err(error @ ParseError::Key(_)) => {
                let reason =
                    format!("{}; check ALPHA_VANTAGE_KEY", self.api.shown_reason(&error.to_string()));
                Err(FeedError::Provider { reason, retry_after: Some(RETRY_MAX) })
            }
            Err(error) => Ok(Err(self.api.shown_reason(&error.to_string()))),
        }
    }
}

struct AlphaVantage {
    quotes: Quotes,
    ledger: Arc<dyn LiveStore>,
    symbols: Vec<Symbol>,
    outlet: Outlet,
    health: FeedHealth,
    state: Mutex<State>,
}

/// What earlier requests have shown.
struct State {
    known: BTreeMap<Symbol, Known>,
    /// The newest tick of each stock: an answer that repeats it is not passed on.
    seen: BTreeMap<Symbol, Tick>,
    /// Stocks without a price, with the reason.
    refused: BTreeMap<Symbol, String>,
    last_seq: u64,
    /// Requests in a row that failed.
    failures: u32,
}

impl AlphaVantage {
    async fn poll(&self) -> Result<(), FeedError> {
        loop {
            let now = Utc::now();
            let calls = self.calls(now).await?;
            let next = schedule::next(&self.symbols, &self.state().known, calls, now);
            let Some(symbol) = next.symbol.filter(|_| next.at <= now) else {
                // Only now: while stocks are requested, it is not known yet whether the provider answers.
                self.report(calls, next);
                sleep_until(next.at, now).await;
                continue;
            };
            let limits = self.quotes.account.limits();
            let taken = self.ledger.take_call(&self.quotes.key, CallPurpose::Prices, &limits, now).await;
            if let KeyCall::Refused { free_at } = taken.map_err(ledger_error)? {
                self.report(calls, Next { at: free_at, symbol: Some(symbol) });
                sleep_until(free_at, now).await;
                continue;
            }
            self.poll_symbol(symbol).await?;
        }
    }

    /// The calls of today, of all processes.
    async fn calls(&self, now: DateTime<Utc>) -> Result<Calls, FeedError> {
        let usage = self.ledger.key_usage(now).await.map_err(ledger_error)?;
        let is_ours =
            |usage: &&KeyUsage| usage.key == self.quotes.key && usage.purpose == CallPurpose::Prices;
        let usage = usage.iter().find(is_ours);
        Ok(Calls {
            used: usage.map_or(0, |usage| usage.calls),
            limit: self.quotes.account.limits().prices_per_day,
            last_at: usage.map(|usage| usage.last_at),
        })
    }

    /// `7 symbols, polled; not TWTR (no quote); 3 of 20 calls of today, the next at 15:49 UTC`.
    fn report(&self, calls: Calls, next: Next) {
        let state = self.state();
        let (refused, count) = (state.refused.iter(), self.symbols.len() - state.refused.len());
        let named = without(refused.map(|(symbol, reason)| (*symbol, reason.as_str())));
        let Calls { used, limit, .. } = calls;
        let at = next.at.max(Utc::now());
        let day = if at.date_naive() == Utc::now().date_naive() { "%H:%M UTC" } else { "%F %H:%M UTC" };
        let budget = format!("{used} of {limit} calls of today, the next at {}", at.format(day));
        if count == 0 {
            self.health.down(&format!("no symbol has a price{named}; {budget}"));
        } else if state.failures == 0 {
            let detail = format!("{count} symbols, polled{named}; {budget}");
            self.health.up_without(&detail, state.refused.keys().copied());
        }
    }

    async fn poll_symbol(&self, symbol: Symbol) -> Result<(), FeedError> {
        let quote = self.quotes.quote(symbol).await.map_err(|error| self.backed_off(error))?;
        let tick = {
            let mut state = self.state();
            let state = &mut *state;
            state.failures = 0;
            let known = state.known.entry(symbol).or_default();
            known.asked_at = Some(Utc::now());
            known.is_refused = quote.is_err();
            match quote {
                Ok(tick) => {
                    known.priced_at = Some(tick.timestamp);
                    state.refused.remove(&symbol);
                    state.numbered(tick).context("a tick of alpha_vantage")?
                }
                Err(reason) => {
                    self.outlet.metrics().errors.add(1);
                    tracing::warn!(%symbol, reason, "alpha_vantage has no price of a stock");
                    state.refused.insert(symbol, reason);
                    None
                }
            }
        };
        if let Some(tick) = tick {
            self.outlet.offer(&[tick]).await?;
        }
        Ok(())
    }

    /// A request that failed has used up a call: the next one waits longer each time.
    fn backed_off(&self, error: FeedError) -> FeedError {
        let FeedError::Provider { reason, retry_after } = error else { return error };
        let mut state = self.state();
        let grown = RETRY_MIN.saturating_mul(1 << state.failures.min(6)).min(RETRY_MAX);
        state.failures = state.failures.saturating_add(1);
        FeedError::Provider { reason, retry_after: Some(retry_after.unwrap_or_default().max(grown)) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// `None` where the answer repeats the last one; otherwise the tick under a number of its own. During a session every answer has a
    /// time of its own.
    fn numbered(&mut self, tick: Tick) -> Result<Option<Tick>, market::TickError> {
        let same = |seen: &Tick| {
            (seen.timestamp, seen.price, seen.volume) == (tick.timestamp, tick.price, tick.volume)
        };
        if self.seen.get(&tick.symbol).is_some_and(same) {
            return Ok(None);
        }
        self.last_seq = tick.seq.max(self.last_seq + 1);
        let tick = Tick::new(TickFields { seq: self.last_seq, ..tick.into_fields() })?;
        self.seen.insert(tick.symbol, tick);
        Ok(Some(tick))
    }
}

async fn sleep_until(at: DateTime<Utc>, now: DateTime<Utc>) {
    let pause = (at - now).clamp(TimeDelta::milliseconds(100), LONGEST_SLEEP);
    tokio::time::sleep(pause.to_std().unwrap_or_default()).await;
}

/// The store may be away for a while: a feed without it makes no calls.
fn ledger_error(error: live_store::LiveStoreError) -> FeedError {
    FeedError::provider(format!("the calls of the key cannot be counted: {error}"))
}

#[cfg(test)]
mod tests;
