//! Binance: trades over combined web socket streams, history over REST. No key.

mod connection;
mod day;
pub(crate) mod files;
mod history;
pub(crate) mod parse;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use futures_util::future::try_join_all;
use market::{AssetClass, Source, Symbol};
use serde_json::Value;
use service_runtime::Component;
use tokio::sync::Notify;
use url::Url;

use self::{connection::Connection, history::Klines, parse::venue_name};
use super::{
    Abilities, Feed, FeedContext, HistorySettings, Prices,
    rest::{Api, below},
    without,
};
use crate::{
    config::ProducerConfig,
    publish::Outlet,
    supervise::{FeedError, keep_alive},
};

/// The kinds of streams of each symbol.
const STREAMS: [&str; 3] = ["trade", "miniTicker", "kline_1m"];
/// Streams of one connection at most, by the venue's rules.
const MAX_STREAMS: usize = 1_024;
/// Longest list of streams in an address, in bytes: the venue refuses addresses of more than 8,004.
const MAX_STREAMS_BYTES: usize = 6_000;
const USER_AGENT: &str = concat!("tapedeck/", env!("CARGO_PKG_VERSION"));

pub(crate) static FEED: Feed = Feed {
    name: "binance",
    task: "feed binance",
    summary: "Binance: crypto, live, without a key",
    prices: Prices::Live(AssetClass::Crypto),
    abilities: Abilities {
        delivery: "streamed, every trade",
        volume: "of each trade; of 24 hours",
        history: "1m, 1h, 1d, for years",
        repair: "minutes, 7 days back",
        budget: "weight a minute; pauses that it requires are kept",
    },
    ask: Some(|settings, _, symbol| Box::pin(ask(&settings.history, symbol))),
    probe: Some(|config| Box::pin(probe(config))),
    daily: Some(history::daily),
    check: None,
    has_ledger: false,
    run: |context| Box::pin(run(context)),
};

/// The settings of Binance.
#[derive(Clone, Debug, clap::Args)]
pub struct BinanceArgs {
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
}

/// The venue answers; the watched pairs that it does not have, with the reason.
async fn probe(config: &ProducerConfig) -> anyhow::Result<Vec<(Symbol, String)>> {
    let api = Api::new(USER_AGENT, config.binance.binance_rest_url.clone())?;
    let _: Value = api.get("api/v3/ping", &[]).await?;
    let symbols = config.watchlist.symbols().iter().copied();
    let pairs: Vec<Symbol> = symbols.filter(|symbol| symbol.asset_class() == AssetClass::Crypto).collect();
    let refused = day::figures(&api, &pairs).await?.refused;
    match refused.first() {
        Some((_, reason)) if refused.len() == pairs.len() => anyhow::bail!("{reason}"),
        _ => Ok(refused),
    }
}

/// The figures of the day of one pair.
async fn ask(settings: &HistorySettings, symbol: Symbol) -> Result<String, FeedError> {
    let api = Api::new(USER_AGENT, settings.binance.binance_rest_url.clone())?;
    let figures = day::figures(&api, &[symbol]).await?;
    match (figures.tickers.first(), figures.refused.into_iter().next()) {
        (Some(ticker), _) => Ok(ticker.to_string()),
        (None, Some((_, reason))) => Err(FeedError::Request { reason }),
        (None, None) => Err(FeedError::provider("an empty list")),
    }
}

/// Passes trades on until the shutdown, while history is filled in: the minutes of the last day first.
async fn run(context: FeedContext) -> anyhow::Result<()> {
    let FeedContext { config, symbols, outlet, health, shutdown, .. } = context;
    let source = Source::parse(FEED.name).context("the name of the source")?;
    let api = Arc::new(Api::new(USER_AGENT, config.binance.binance_rest_url.clone())?);
    let history = Klines::new(Arc::clone(&api), source);
    let parts = split(&symbols);
    let states = Mutex::new(vec![Part::Starting; parts.len()]);
    let feed = Binance { config, source, api, history, outlet, health, states, has_answered: Notify::new() };
    let live = try_join_all(parts.iter().enumerate().map(async |(number, symbols)| {
        let connection = Connection::new(&feed, number, symbols);
        let report = |reason: &str| feed.report(number, Part::Down(reason.to_owned()));
        keep_alive(report, feed.outlet.metrics(), &shutdown, || connection.run()).await
    }));
    let filling = feed.fill_history(&symbols);
    let filling = async { shutdown.run_until_cancelled(filling).await.unwrap_or(Ok(())) };
    tokio::try_join!(live, filling)?;
    Ok(())
}

/// The symbols of each connection.
fn split(symbols: &[Symbol]) -> Vec<Vec<Symbol>> {
    let mut parts: Vec<Vec<Symbol>> = Vec::new();
    let mut bytes = 0;
    for symbol in symbols {
        let added: usize = STREAMS.iter().map(|kind| venue_name(*symbol).len() + kind.len() + 2).sum();
        match parts.last_mut() {
            Some(part)
                if bytes + added <= MAX_STREAMS_BYTES && (part.len() + 1) * STREAMS.len() <= MAX_STREAMS =>
            {
                part.push(*symbol);
                bytes += added;
            }
            _ => {
                parts.push(vec![*symbol]);
                bytes = added;
            }
        }
    }
    parts
}

struct Binance {
    config: ProducerConfig,
    source: Source,
    api: Arc<Api>,
    history: Klines,
    outlet: Outlet,
    health: Component,
    /// Of each connection.
    states: Mutex<Vec<Part>>,
    /// The venue has answered a request.
    has_answered: Notify,
}

/// How a connection is.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Starting,
    /// With so many symbols; those that the venue does not have, with the reason.
    Live(usize, BTreeMap<Symbol, String>),
    Down(String),
}

impl Binance {
    /// Takes in how a connection is, and reports how the feed is.
    fn report(&self, number: usize, part: Part) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get_mut(number) {
            *state = part;
        }
        let (mut live, mut refused, mut down) = (0, BTreeMap::new(), None);
        for state in states.iter() {
            match state {
                // Its first report is still to come.
                Part::Starting => {}
                Part::Live(count, others) => {
                    live += count;
                    refused.extend(others.clone());
                }
                Part::Down(reason) => down = Some(reason.clone()),
            }
        }
        match down {
            Some(reason) if live > 0 => {
                self.health.down(&format!("{live} symbols live, others not: {reason}"));
            }
            Some(reason) => self.health.down(&reason),
            None => {
                let refused = refused.iter().map(|(symbol, reason)| (*symbol, reason.as_str()));
                self.health.up(&format!("{live} symbols, live{}", without(refused)));
            }
        }
    }
}

impl From<&Binance> for Url {
    fn from(feed: &Binance) -> Self {
        below(&feed.config.binance.binance_ws_url, "stream", &[])
    }
}

#[cfg(test)]
mod tests;
