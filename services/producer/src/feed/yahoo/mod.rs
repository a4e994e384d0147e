//! Yahoo: polls the chart endpoint, symbol after symbol, on one connection. No key; unofficial, best effort.

pub(crate) mod parse;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use market::{AssetClass, Candle, Source, Symbol, Tick, TickFields, is_open};
use rand::RngExt;
use url::Url;

use super::{Abilities, DailyHistory, Feed, FeedContext, HistorySettings, Prices, Span, rest::Api, without};
use crate::{
    config::ProducerConfig,
    feed_health::FeedHealth,
    publish::Outlet,
    supervise::{FeedError, keep_alive, patiently},
    tails,
};

/// Without something like it the endpoint answers 429.
const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36";
/// While the exchange is closed, polls are so many times rarer.
const CLOSED_FACTOR: u32 = 8;
/// Stocks that are requested to see whether the endpoint answers.
const MAX_PROBED: usize = 5;
/// A stock that the endpoint does not have is requested again after so many rounds.
const REFUSED_ROUNDS: u64 = 60;
/// Candles of the last minutes may change.
const CORRECTED: TimeDelta = TimeDelta::minutes(15);
/// Between the requests of one round.
const PAUSE_MS: u64 = 100;
/// Between the requests for history: they leave room for those of the round.
const HISTORY_PAUSE_MS: u64 = 250;

pub(crate) static FEED: Feed = Feed {
    name: "yahoo",
    task: "feed yahoo",
    summary: "Yahoo: stocks, polled, without a key, best effort",
    prices: Prices::Live(AssetClass::Stock),
    abilities: Abilities {
        delivery: "polled, 15 s; 2 min while the exchange is closed",
        volume: "running total of the session",
        history: "1m of the day, 1h of a month, 1d of two years",
        repair: "minutes of the day",
        budget: "unknown; pauses that it requires are kept",
    },
    ask: Some(|settings, _, symbol| Box::pin(ask(&settings.history, symbol))),
    probe: Some(|config| Box::pin(probe(config))),
    daily: Some(daily),
    check: None,
    has_ledger: false,
    run: |context| Box::pin(run(context)),
};

/// The settings of Yahoo.
#[derive(Clone, Debug, clap::Args)]
pub struct YahooArgs {
    /// yahoo: where its charts are.
    #[arg(long, env = "YAHOO_URL", default_value = "https://query1.finance.yahoo.com", value_name = "URL")]
    pub yahoo_url: Url,
}

/// The endpoint answers: the watched stocks in turn, until it has one; those that it does not have, with the reason.
async fn probe(config: &ProducerConfig) -> anyhow::Result<Vec<(Symbol, String)>> {
    let charts = Charts::new(&config.yahoo)?;
    let mut refused = Vec::new();
    let symbols = config.watchlist.symbols().iter();
    for symbol in symbols.filter(|symbol| symbol.asset_class() == AssetClass::Stock).take(MAX_PROBED) {
        match charts.request(*symbol, &TODAY).await {
            Ok(_) => return Ok(refused),
            Err(FeedError::Request { reason }) => refused.push((*symbol, reason)),
            Err(error) => return Err(error.into()),
        }
    }
    let (_, reason) = refused.first().context("no stock is watched")?;
    anyhow::bail!("{reason}")
}

/// The newest price of one stock.
async fn ask(settings: &HistorySettings, symbol: Symbol) -> Result<String, FeedError> {
    let charts = Charts::new(&settings.yahoo)?;
    let answer = charts.request(symbol, &TODAY).await?;
    let parsed = parse::parse(answer, symbol, charts.source, Utc::now().trunc_subsecs(6));
    let parse::Parsed { tick, candles } =
        parsed.map_err(|error| FeedError::Request { reason: error.to_string() })?;
    Ok(format!(
        "{symbol} {} at {}, {:+.2} %, volume {}; {} candles",
        tick.price,
        tick.timestamp.format("%F %T UTC"),
        tick.change_percent,
        tick.volume,
        candles.len()
    ))
}

/// Parameters of what is polled.
const TODAY: [(&str, &str); 2] = [("interval", "1m"), ("range", "1d")];
/// Candles of the past: two years of days, and a month of hours. Its hours begin at the half: they are made of half hours.
const HISTORY: [[(&str, &str); 2]; 2] =
    [[("interval", "1d"), ("range", "2y")], [("interval", "30m"), ("range", "1mo")]];

/// Polls until the shutdown; the first round brings the candles of the day. Older history is filled in meanwhile.
async fn run(context: FeedContext) -> anyhow::Result<()> {
    let link = context.link(FEED.name);
    let FeedContext { config, symbols, log, outlet, health, shutdown, .. } = context;
    let charts = Charts::new(&config.yahoo)?;
    let tails = tails::read(&*log, charts.source).await.context("cannot see where the last run ended")?;
    let seen = tails.newest.iter().map(|tick| (tick.symbol, (tick.timestamp, tick.price))).collect();
    let yahoo = Yahoo {
        charts,
        config,
        symbols,
        outlet,
        health,
        state: Mutex::new(State { seen, last_seq: tails.highest_seq, candles: HashMap::new() }),
    };
    let live = keep_alive(&link, |reason| yahoo.health.down(reason), || yahoo.poll());
    let history = async { shutdown.run_until_cancelled(yahoo.fill_history()).await.unwrap_or(Ok(())) };
    tokio::try_join!(live, history)?;
    Ok(())
}

struct Yahoo {
    config: ProducerConfig,
    symbols: Vec<Symbol>,
    charts: Charts,
    outlet: Outlet,
    health: FeedHealth,
    state: Mutex<State>,
}

/// What earlier rounds have passed on.
struct State {
    /// Time and price of each symbol's newest tick: an answer that repeats them is not passed on.
    seen: HashMap<Symbol, (DateTime<Utc>, rust_decimal::Decimal)>,
    last_seq: u64,
    /// Each symbol's newest candles.
    candles: HashMap<Symbol, NewestCandles>,
}

/// Candles that were passed on, of the last minutes: the endpoint corrects those, and fills in holes.
#[derive(Default)]
struct NewestCandles {
    from: Option<DateTime<Utc>>,
    passed_on: Vec<Candle>,
}

impl NewestCandles {
    /// Takes in the candles of an answer; those that are to be passed on.
    fn take_in(&mut self, candles: Vec<Candle>) -> Vec<Candle> {
        let is_recent =
            |candle: &Candle, from: Option<DateTime<Utc>>| from.is_none_or(|from| candle.time >= from);
        let is_news = |candle: &Candle| is_recent(candle, self.from) && !self.passed_on.contains(candle);
        let news: Vec<Candle> = candles.iter().copied().filter(is_news).collect();
        let newest = candles.iter().map(|candle| candle.time).max();
        self.from = newest.map(|newest| newest - CORRECTED).max(self.from);
        self.passed_on = candles.into_iter().filter(|candle| is_recent(candle, self.from)).collect();
        news
    }
}

/// The chart endpoint.
struct Charts {
    api: Api,
    source: Source,
}

impl Charts {
    fn new(settings: &YahooArgs) -> anyhow::Result<Self> {
        let source = Source::parse(FEED.name).context("the name of the source")?;
        Ok(Self { api: Api::new(USER_AGENT, settings.yahoo_url.clone())?, source })
    }

    async fn request(&self, symbol: Symbol, query: &[(&str, &str)]) -> Result<parse::Answer, FeedError> {
        self.api.get(&format!("v8/finance/chart/{}", parse::venue_name(symbol)), query).await
    }

    /// The candles of a chart that have ended.
    async fn candles(
        &self,
        symbol: Symbol,
        query: &[(&str, &str)],
        now: DateTime<Utc>,
    ) -> Result<Vec<Candle>, FeedError> {
        let answer = self.request(symbol, query).await?;
        parse::history(answer, symbol, self.source, now)
            .map_err(|error| FeedError::Request { reason: error.to_string() })
    }
}

/// Daily candles for `tapedeck backfill`.
fn daily(settings: &HistorySettings) -> anyhow::Result<Box<dyn DailyHistory>> {
    Ok(Box::new(Charts::new(&settings.yahoo)?))
}

impl DailyHistory for Charts {
    fn daily(
        &self,
        symbol: Symbol,
        (from, to): Span,
        now: DateTime<Utc>,
    ) -> BoxFuture<'_, Result<Vec<Candle>, FeedError>> {
        Box::pin(async move {
            let (from, to) = (from.timestamp().to_string(), to.timestamp().to_string());
            let query = [("interval", "1d"), ("period1", from.as_str()), ("period2", to.as_str())];
            self.candles(symbol, &query, now).await
        })
    }
}

/// Why there is no price of a symbol.
struct Unusable {
    reason: String,
    /// The endpoint does not have the symbol.
    is_refused: bool,
}

/// `41 symbols, polled; not TWTR (No data found)`.
fn polled_symbols(count: usize, refused: &BTreeMap<Symbol, (u64, String)>) -> String {
    let reasons = refused.iter().map(|(symbol, (_, reason))| (*symbol, reason.as_str()));
    format!("{count} symbols, polled{}", without(reasons))
}

impl Yahoo {
    /// A chart without history is better than no chart: a failure is logged, and the feed continues.
    async fn fill_history(&self) -> anyhow::Result<()> {
        for part in HISTORY {
            for symbol in &self.symbols {
                tokio::time::sleep(Duration::from_millis(HISTORY_PAUSE_MS)).await;
                let what = format!("candles of {symbol} ({part:?})");
                let read = || self.charts.candles(*symbol, &part, Utc::now());
                if let Some(candles) = patiently(what, self.outlet.metrics(), read).await? {
                    self.outlet.send_candles(&candles).await?;
                }
            }
        }
        Ok(())
    }

    async fn poll(&self) -> Result<(), FeedError> {
        // Symbols without an answer, with the round in which they were requested, and the reason.
        let mut refused: BTreeMap<Symbol, (u64, String)> = BTreeMap::new();
        for round in 0.. {
            for symbol in &self.symbols {
                if refused.get(symbol).is_some_and(|(asked, _)| round < asked + REFUSED_ROUNDS) {
                    continue;
                }
                // One symbol that cannot be read does not keep the others waiting; a provider that refuses does.
                match self.poll_symbol(*symbol).await? {
                    Ok(()) => {
                        refused.remove(symbol);
                    }
                    Err(Unusable { reason, is_refused }) => {
                        self.outlet.metrics().errors.add(1);
                        tracing::warn!(%symbol, reason, "an answer of yahoo was passed over");
                        // An answer that cannot be read may be another one in the next round.
                        let asked = if is_refused { round } else { round.saturating_sub(REFUSED_ROUNDS - 1) };
                        refused.insert(*symbol, (asked, reason));
                    }
                }
                tokio::time::sleep(Duration::from_millis(PAUSE_MS.min(self.config.poll_ms / 4))).await;
            }
            let polled = self.symbols.len() - refused.len();
            if polled == 0 {
                let reason = refused.into_values().next().map(|(_, reason)| reason).unwrap_or_default();
                return Err(FeedError::provider(format!("no answer could be read: {reason}")));
            }
            self.health.up_without(&polled_symbols(polled, &refused), refused.keys().copied());
            tokio::time::sleep(self.pause(Utc::now())).await;
        }
        Ok(())
    }

    /// Until the next round, a tenth more or less, so that instances do not come together.
    fn pause(&self, now: DateTime<Utc>) -> Duration {
        let rarer = if is_open(AssetClass::Stock, now) { 1 } else { CLOSED_FACTOR };
        Duration::from_millis(self.config.poll_ms).mul_f64(rand::rng().random_range(0.9..1.1)) * rarer
    }

    async fn poll_symbol(&self, symbol: Symbol) -> Result<Result<(), Unusable>, FeedError> {
        let answer = match self.charts.request(symbol, &TODAY).await {
            Err(FeedError::Request { reason }) => return Ok(Err(Unusable { reason, is_refused: true })),
            answer => answer?,
        };
        let parsed = match parse::parse(answer, symbol, self.charts.source, Utc::now().trunc_subsecs(6)) {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Err(Unusable { reason: error.to_string(), is_refused: false })),
        };
        let news = self.state().candles.entry(symbol).or_default().take_in(parsed.candles);
        if !news.is_empty() {
            self.outlet.send_candles(&news).await?;
        }
        if let Some(tick) = self.numbered(parsed.tick).context("a tick of yahoo")? {
            self.outlet.offer(&[tick]).await?;
        }
        Ok(Ok(()))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` where the answer repeats the last one; otherwise the tick under a number of its own.
    fn numbered(&self, tick: Tick) -> Result<Option<Tick>, market::TickError> {
        let mut state = self.state();
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
