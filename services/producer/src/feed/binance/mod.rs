//! Binance: trades over the combined web socket stream, history over REST. No key.

pub(crate) mod files;
mod history;
pub(crate) mod parse;

use std::time::Duration;

use anyhow::Context;
use chrono::{SubsecRound, Utc};
use futures_util::{StreamExt, future::BoxFuture};
use market::{AssetClass, Source, Symbol};
use reqwest::Client;
use serde_json::Value;
use service_runtime::Component;
use tokio::time::timeout;
use tokio_tungstenite::{
    connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};
use url::Url;

use self::{
    history::Klines,
    parse::{Frame, FrameReader, Names, Ticker24h, venue_name},
};
use super::{Feed, FeedContext, Prices, rest};
use crate::{
    config::ProducerConfig,
    publish::Outlet,
    supervise::{FeedError, keep_alive},
};

/// Streams of one connection at most, by the venue's rules; each symbol takes three.
const MAX_STREAMS: usize = 1_024;
const STREAMS_PER_SYMBOL: usize = 3;
/// The venue ends a connection after 24 hours; we end it before, at a moment of our own.
const MAX_CONNECTION_SECONDS: u64 = 23 * 3_600;
/// Larger frames are refused.
const MAX_FRAME_BYTES: usize = 1 << 20;
const CONNECT_TIMEOUT_MS: u64 = 5_000;
const USER_AGENT: &str = concat!("tapedeck/", env!("CARGO_PKG_VERSION"));

pub(crate) static FEED: Feed = Feed {
    name: "binance",
    task: "feed binance",
    summary: "Binance: crypto, live, without a key",
    prices: Prices::Live(AssetClass::Crypto),
    probe: Some(|config| Box::pin(answers(config))),
    daily: Some(history::daily),
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

/// The venue answers.
async fn answers(config: &ProducerConfig) -> anyhow::Result<()> {
    let client = rest::client(USER_AGENT)?;
    let _: Value =
        rest::get(&client, endpoint(&config.binance.binance_rest_url, "api/v3/ping", &[])?).await?;
    Ok(())
}

/// Fills in the minutes of the last day, then passes trades on until the shutdown, while the older history is filled in.
async fn run(context: FeedContext) -> anyhow::Result<()> {
    let FeedContext { config, symbols, outlet, health, shutdown, .. } = context;
    let source = Source::parse("binance").context("the name of the source")?;
    let client = rest::client(USER_AGENT)?;
    if symbols.len() * STREAMS_PER_SYMBOL > MAX_STREAMS {
        anyhow::bail!(
            "binance: {} symbols are more than one connection carries ({})",
            symbols.len(),
            MAX_STREAMS / STREAMS_PER_SYMBOL
        );
    }
    let history = Klines::new(client.clone(), config.binance.binance_rest_url.clone(), source);
    let feed = Binance { config, symbols, source, client, history, outlet, health };
    let until_shutdown = async |filling: BoxFuture<'_, anyhow::Result<()>>| {
        shutdown.run_until_cancelled(filling).await.unwrap_or(Ok(()))
    };
    until_shutdown(Box::pin(feed.fill_minutes())).await?;
    let live = keep_alive(&feed.health, feed.outlet.metrics(), &shutdown, || feed.connection());
    tokio::try_join!(live, until_shutdown(Box::pin(feed.fill_wide_candles())))?;
    Ok(())
}

struct Binance {
    config: ProducerConfig,
    symbols: Vec<Symbol>,
    source: Source,
    client: Client,
    history: Klines,
    outlet: Outlet,
    health: Component,
}

fn endpoint(base: &Url, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Url> {
    let mut url = base.join(path).with_context(|| format!("{base} is no base for {path}"))?;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

impl Binance {
    /// The day's figures, so that the first trade already carries them.
    async fn seeded_reader(&self) -> Result<FrameReader, FeedError> {
        let mut reader = FrameReader::new(self.source, Names::requested(&self.symbols));
        let names: Vec<String> = self.symbols.iter().map(|symbol| venue_name(*symbol)).collect();
        let list = serde_json::to_string(&names).context("a list of names")?;
        let url =
            endpoint(&self.config.binance.binance_rest_url, "api/v3/ticker/24hr", &[("symbols", &list)])?;
        let tickers: Vec<Ticker24h> = rest::get(&self.client, url).await?;
        for ticker in &tickers {
            reader.seed(ticker).map_err(|error| FeedError::provider(format!("ticker/24hr: {error}")))?;
        }
        Ok(reader)
    }

    fn stream_url(&self) -> anyhow::Result<Url> {
        let streams: Vec<String> = self
            .symbols
            .iter()
            .map(|symbol| venue_name(*symbol).to_lowercase())
            .flat_map(|name| ["trade", "miniTicker", "kline_1m"].map(|kind| format!("{name}@{kind}")))
            .collect();
        let mut url = endpoint(&self.config.binance.binance_ws_url, "stream", &[])?;
        // Slashes and at-signs stay as they are: the venue reads the query as it stands.
        url.set_query(Some(&format!("streams={}", streams.join("/"))));
        Ok(url)
    }

    /// One connection, from its start to its end.
    async fn connection(&self) -> Result<(), FeedError> {
        service_runtime::install_tls();
        let mut reader = self.seeded_reader().await?;
        let url = self.stream_url()?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let connecting = connect_async_with_config(url.as_str(), Some(limits), true);
        let (mut socket, _) = timeout(Duration::from_millis(CONNECT_TIMEOUT_MS), connecting)
            .await
            .map_err(|_| FeedError::provider("the web socket does not answer"))?
            .map_err(|error| FeedError::provider(format!("the web socket: {error}")))?;
        let silence = Duration::from_millis(self.config.silence_ms);
        let end = tokio::time::Instant::now() + Duration::from_secs(MAX_CONNECTION_SECONDS);
        // Health changes once a connection, not with every tick.
        let mut is_live = false;
        while tokio::time::Instant::now() < end {
            let message = timeout(silence, socket.next())
                .await
                .map_err(|_| FeedError::provider(format!("silent for {:.1} s", silence.as_secs_f64())))?;
            match message {
                // Reading on answers pings by itself.
                Some(Ok(Message::Text(text))) => {
                    let has_tick = self.frame(&mut reader, text.as_bytes()).await?;
                    if has_tick && !is_live {
                        is_live = true;
                        self.health.up(&format!("{} symbols, live", self.symbols.len()));
                    }
                }
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(FeedError::provider(format!("the web socket: {error}"))),
            }
        }
        Ok(())
    }

    /// Whether the frame held a tick.
    async fn frame(&self, reader: &mut FrameReader, bytes: &[u8]) -> Result<bool, FeedError> {
        match reader.parse(bytes, Utc::now().trunc_subsecs(6)) {
            Ok(Frame::Tick(tick)) => {
                self.outlet.offer(&[tick]).await?;
                return Ok(true);
            }
            Ok(Frame::Candle(candle)) => self.outlet.offer_candle(&candle).await?,
            Ok(Frame::Nothing) => {}
            Err(error) => {
                self.outlet.metrics().errors.add(1);
                tracing::warn!(%error, "a frame of binance was passed over");
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
