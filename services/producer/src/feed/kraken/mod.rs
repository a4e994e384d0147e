//! Kraken: trades over web sockets that are subscribed by message, history over REST. No key.

mod history;
mod parse;

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use market::{AssetClass, Source, Symbol};
use url::Url;

use self::{
    history::Rest,
    parse::{FrameReader, subscriptions},
};
use super::{
    Abilities, Feed, FeedContext, HistorySettings, Prices,
    fields::ParseError,
    live::{self, Prepared, Received, Venue},
    minutes::CandleHistory,
    rest::Api,
    socket::Request,
};
use crate::{config::ProducerConfig, supervise::FeedError};

/// Symbols of one connection at most: also if the venue put the 50 trades of each into one frame, it would be below our limit.
const SYMBOLS: usize = 100;
const USER_AGENT: &str = concat!("tapedeck/", env!("CARGO_PKG_VERSION"));

pub(crate) static FEED: Feed = Feed {
    name: "kraken",
    task: "feed kraken",
    summary: "Kraken: crypto, live, without a key",
    prices: Prices::Live(AssetClass::Crypto),
    abilities: Abilities {
        delivery: "streamed, every trade",
        volume: "of each trade; of 24 hours",
        history: "1m, 1h, 1d, the newest 720 of each",
        repair: "minutes, 12 hours back",
        budget: "a request a second, kept by pauses",
    },
    ask: Some(|settings, _, symbol| Box::pin(ask(&settings.history, symbol))),
    probe: Some(|config| Box::pin(probe(config))),
    daily: Some(history::daily),
    check: None,
    has_ledger: false,
    run: |context| Box::pin(run(context)),
};

/// The settings of Kraken.
#[derive(Clone, Debug, clap::Args)]
pub struct KrakenArgs {
    /// kraken: where its REST interface is.
    #[arg(
        long,
        env = "KRAKEN_REST_URL",
        default_value = "https://api.kraken.com/0/public",
        value_name = "URL"
    )]
    pub kraken_rest_url: Url,
    /// kraken: where its web socket is, version 2.
    #[arg(long, env = "KRAKEN_WS_URL", default_value = "wss://ws.kraken.com/v2", value_name = "URL")]
    pub kraken_ws_url: Url,
}

fn rest(url: &Url) -> anyhow::Result<Rest> {
    let source = Source::parse(FEED.name).context("the name of the source")?;
    Ok(Rest::new(Api::new(USER_AGENT, url.clone())?, source))
}

/// The venue answers; the watched pairs that it does not list, with the reason.
async fn probe(config: &ProducerConfig) -> anyhow::Result<Vec<(Symbol, String)>> {
    let rest = rest(&config.kraken.kraken_rest_url)?;
    let pairs = rest.pairs().await?;
    live::some_listed(config, |watched| pairs.not_listed(watched))
}

/// The figures of the day of one pair.
async fn ask(settings: &HistorySettings, symbol: Symbol) -> Result<String, FeedError> {
    let ticker = rest(&settings.kraken.kraken_rest_url)?.ticker(symbol).await?;
    Ok(format!("{symbol} {ticker}"))
}

async fn run(context: FeedContext) -> anyhow::Result<()> {
    let source = Source::parse(FEED.name).context("the name of the source")?;
    let rest = rest(&context.config.kraken.kraken_rest_url)?;
    let socket = context.config.kraken.kraken_ws_url.clone();
    live::run(Kraken { source, rest, socket }, FEED.name, context).await
}

struct Kraken {
    source: Source,
    rest: Rest,
    socket: Url,
}

impl Venue for Kraken {
    type Reader = FrameReader;

    fn split(&self, symbols: &[Symbol]) -> Vec<Vec<Symbol>> {
        symbols.chunks(SYMBOLS).map(<[Symbol]>::to_vec).collect()
    }

    fn reader(&self, symbols: &[Symbol]) -> FrameReader {
        FrameReader::new(self.source, symbols)
    }

    /// Requests the names of pairs, which history has to have. Which symbols are refused is the socket's to answer: it has names of its own.
    fn prepare<'a>(
        &'a self,
        _: &'a mut FrameReader,
        _: &'a [Symbol],
    ) -> BoxFuture<'a, Result<Prepared, FeedError>> {
        Box::pin(async move {
            self.rest.pairs().await?;
            Ok(Prepared::default())
        })
    }

    fn request(&self, symbols: &[Symbol]) -> Request {
        Request { url: self.socket.clone(), messages: subscriptions(symbols) }
    }

    fn read(
        &self,
        reader: &mut FrameReader,
        frame: &[u8],
        received_at: DateTime<Utc>,
    ) -> Result<Received, ParseError> {
        reader.parse(frame, received_at)
    }

    fn history(&self) -> &dyn CandleHistory {
        &self.rest
    }
}

#[cfg(test)]
mod tests;
