//! Binance: trades over combined web socket streams, history over REST. No key.

mod day;
pub(crate) mod files;
mod history;
pub(crate) mod parse;

use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use market::{AssetClass, Source, Symbol};
use serde_json::Value;
use url::Url;

use self::{
    history::Klines,
    parse::{FrameReader, Names, venue_name},
};
use super::{
    Abilities, Feed, FeedContext, HistorySettings, Prices,
    fields::ParseError,
    live::{self, Prepared, Received, Venue},
    minutes::CandleHistory,
    rest::{Api, below},
    socket::Request,
};
use crate::{config::ProducerConfig, supervise::FeedError};

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
    let refused = day::figures(&api, &live::watched_pairs(config)).await?.refused;
    live::some_listed(config, |_| refused)
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

async fn run(context: FeedContext) -> anyhow::Result<()> {
    let source = Source::parse(FEED.name).context("the name of the source")?;
    let api = Arc::new(Api::new(USER_AGENT, context.config.binance.binance_rest_url.clone())?);
    let history = Klines::new(Arc::clone(&api), source);
    let socket = below(&context.config.binance.binance_ws_url, "stream", &[]);
    live::run(Binance { source, api, history, socket }, FEED.name, context).await
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
    source: Source,
    api: Arc<Api>,
    history: Klines,
    socket: Url,
}

impl Venue for Binance {
    type Reader = FrameReader;

    fn split(&self, symbols: &[Symbol]) -> Vec<Vec<Symbol>> {
        split(symbols)
    }

    fn reader(&self, symbols: &[Symbol]) -> FrameReader {
        FrameReader::new(self.source, Names::requested(symbols))
    }

    fn prepare<'a>(
        &'a self,
        reader: &'a mut FrameReader,
        symbols: &'a [Symbol],
    ) -> BoxFuture<'a, Result<Prepared, FeedError>> {
        Box::pin(async move {
            let day::Figures { tickers, refused } = day::figures(&self.api, symbols).await?;
            let errors = tickers.iter().filter_map(|ticker| reader.seed(ticker).err()).collect();
            Ok(Prepared { refused, errors })
        })
    }

    fn request(&self, symbols: &[Symbol]) -> Request {
        let names = symbols.iter().map(|symbol| venue_name(*symbol).to_lowercase());
        let streams: Vec<String> =
            names.flat_map(|name| STREAMS.map(|kind| format!("{name}@{kind}"))).collect();
        let mut url = self.socket.clone();
        // Slashes and at-signs stay as they are: the venue reads the query as it stands.
        url.set_query(Some(&format!("streams={}", streams.join("/"))));
        Request { url, messages: Vec::new() }
    }

    fn read(
        &self,
        reader: &mut FrameReader,
        frame: &[u8],
        received_at: DateTime<Utc>,
    ) -> Result<Received, ParseError> {
        reader.parse(frame, received_at).map(Received::from)
    }

    fn history(&self) -> &dyn CandleHistory {
        &self.history
    }
}

#[cfg(test)]
mod tests;
