//! Coinbase Exchange: trades over web sockets that are subscribed by message, history over REST. No key.

mod history;
mod parse;
pub(crate) mod recording;

use std::sync::Arc;

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use market::{AssetClass, Source, Symbol};
use url::Url;

use self::{
    history::Candles,
    parse::{FrameReader, Product, Stats, not_traded, product_id, subscription},
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

/// Symbols of one connection at most: a frame of a busy product comes some hundred times a second.
const SYMBOLS: usize = 200;
const USER_AGENT: &str = concat!("tapedeck/", env!("CARGO_PKG_VERSION"));

pub(crate) static FEED: Feed = Feed {
    name: "coinbase",
    task: "feed coinbase",
    summary: "Coinbase Exchange: crypto, live, without a key",
    prices: Prices::Live(AssetClass::Crypto),
    abilities: Abilities {
        delivery: "streamed, every trade",
        volume: "of each trade; of 24 hours",
        history: "1m, 1h, 1d, for years, without counts of trades",
        repair: "minutes, 7 days back",
        budget: "10 requests a second, kept by pauses",
    },
    ask: Some(|settings, _, symbol| Box::pin(ask(&settings.history, symbol))),
    probe: Some(|config| Box::pin(probe(config))),
    daily: Some(history::daily),
    check: None,
    has_ledger: false,
    run: |context| Box::pin(run(context)),
};

/// The settings of Coinbase.
#[derive(Clone, Debug, clap::Args)]
pub struct CoinbaseArgs {
    /// coinbase: where its REST interface is.
    #[arg(
        long,
        env = "COINBASE_REST_URL",
        default_value = "https://api.exchange.coinbase.com",
        value_name = "URL"
    )]
    pub coinbase_rest_url: Url,
    /// coinbase: where its web socket is.
    #[arg(
        long,
        env = "COINBASE_WS_URL",
        default_value = "wss://ws-feed.exchange.coinbase.com",
        value_name = "URL"
    )]
    pub coinbase_ws_url: Url,
}

/// The venue answers; the watched pairs that it does not trade, with the reason.
async fn probe(config: &ProducerConfig) -> anyhow::Result<Vec<(Symbol, String)>> {
    let api = Api::new(USER_AGENT, config.coinbase.coinbase_rest_url.clone())?;
    let products: Vec<Product> = api.get("products", &[]).await?;
    live::some_listed(config, |pairs| not_traded(&products, pairs))
}

/// The figures of the day of one pair.
async fn ask(settings: &HistorySettings, symbol: Symbol) -> Result<String, FeedError> {
    let api = Api::new(USER_AGENT, settings.coinbase.coinbase_rest_url.clone())?;
    let id = product_id(symbol);
    let stats: Stats = api.get(&format!("products/{id}/stats"), &[]).await?;
    Ok(format!("{id} {stats}"))
}

async fn run(context: FeedContext) -> anyhow::Result<()> {
    let source = Source::parse(FEED.name).context("the name of the source")?;
    let api = Arc::new(Api::new(USER_AGENT, context.config.coinbase.coinbase_rest_url.clone())?);
    let history = Candles::new(Arc::clone(&api), source);
    let socket = context.config.coinbase.coinbase_ws_url.clone();
    live::run(Coinbase { source, api, history, socket }, FEED.name, context).await
}

struct Coinbase {
    source: Source,
    api: Arc<Api>,
    history: Candles,
    socket: Url,
}

impl Venue for Coinbase {
    type Reader = FrameReader;

    fn split(&self, symbols: &[Symbol]) -> Vec<Vec<Symbol>> {
        symbols.chunks(SYMBOLS).map(<[Symbol]>::to_vec).collect()
    }

    fn reader(&self, symbols: &[Symbol]) -> FrameReader {
        FrameReader::new(self.source, symbols)
    }

    /// Looks the symbols up in the list of products: one that is not in it would make the venue ignore the whole subscription.
    fn prepare<'a>(
        &'a self,
        reader: &'a mut FrameReader,
        symbols: &'a [Symbol],
    ) -> BoxFuture<'a, Result<Prepared, FeedError>> {
        Box::pin(async move {
            let products: Vec<Product> = self.api.get("products", &[]).await?;
            let refused = not_traded(&products, symbols);
            let is_refused = |symbol: &Symbol| refused.iter().any(|(refused, _)| refused == symbol);
            reader.begin(symbols.iter().copied().filter(|symbol| !is_refused(symbol)));
            Ok(Prepared { refused, errors: Vec::new() })
        })
    }

    /// The venue closes a connection that has subscribed nothing within 5 s; this one does so at once.
    fn request(&self, symbols: &[Symbol]) -> Request {
        Request { url: self.socket.clone(), messages: vec![subscription(symbols.iter())] }
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
        &self.history
    }
}

#[cfg(test)]
mod tests;
