//! One web socket connection, with the streams of some symbols.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures_util::StreamExt;
use market::{Interval, Symbol};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::{
    connect_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};
use url::Url;

use super::{
    Binance, Part, STREAMS, day,
    parse::{Frame, FrameReader, Names, venue_name},
};
use crate::supervise::FeedError;

/// The venue ends a connection after 24 hours; we end it before, at a moment of our own.
const MAX_CONNECTION_SECONDS: u64 = 23 * 3_600;
/// Larger frames are refused.
const MAX_FRAME_BYTES: usize = 1 << 20;
const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Minutes of a longer gap are not requested: `tapedeck backfill` is for those.
const REPAIRED: TimeDelta = TimeDelta::days(7);
/// After so long the venue has the candle of a minute.
const SETTLED: TimeDelta = TimeDelta::seconds(2);

/// A connection that is made again and again.
pub(super) struct Connection<'a> {
    feed: &'a Binance,
    /// Among those of the feed.
    number: usize,
    symbols: &'a [Symbol],
    /// When data came last, in milliseconds since 1970.
    last_data: AtomicI64,
    /// Since when minutes may lack trades; `None` where nothing is missing.
    gap_from: Mutex<Option<DateTime<Utc>>>,
}

/// What a frame was.
enum Received {
    Tick,
    /// Other data: the connection lives.
    Data,
    /// An answer to us, which the venue also sends while its data have stopped.
    Answer,
}

impl<'a> Connection<'a> {
    pub(super) fn new(feed: &'a Binance, number: usize, symbols: &'a [Symbol]) -> Self {
        let last_data = AtomicI64::new(Utc::now().timestamp_millis());
        Self { feed, number, symbols, last_data, gap_from: Mutex::new(None) }
    }

    /// One connection, from its start to its end.
    pub(super) async fn run(&self) -> Result<(), FeedError> {
        service_runtime::install_tls();
        let mut reader = FrameReader::new(self.feed.source, Names::requested(self.symbols));
        let figures = day::figures(&self.feed.api, self.symbols).await?;
        self.feed.has_answered.notify_one();
        for ticker in &figures.tickers {
            if let Err(error) = reader.seed(ticker) {
                self.feed.outlet.metrics().errors.add(1);
                tracing::warn!(%error, "figures of the day were passed over");
            }
        }
        let refused: BTreeMap<Symbol, String> = figures.refused.into_iter().collect();
        let listed: Vec<Symbol> =
            self.symbols.iter().copied().filter(|symbol| !refused.contains_key(symbol)).collect();
        for (symbol, reason) in &refused {
            tracing::warn!(%symbol, reason, "binance does not have a watched pair");
        }
        if listed.is_empty() {
            let reason = refused.into_values().next().unwrap_or_default();
            return Err(FeedError::provider(format!("it has none of the watched pairs: {reason}")));
        }
        let last_data = DateTime::from_timestamp_millis(self.last_data.load(Ordering::Relaxed));
        let gap_from = *self.gap().get_or_insert_with(|| last_data.unwrap_or_else(Utc::now));
        let read = self.read(&mut reader, &listed, &refused);
        let repair = async {
            self.repair(&listed, gap_from).await?;
            *self.gap() = None;
            // The connection goes on.
            std::future::pending::<Result<(), FeedError>>().await
        };
        tokio::select! {
            ended = read => ended,
            failed = repair => failed,
        }
    }

    fn gap(&self) -> std::sync::MutexGuard<'_, Option<DateTime<Utc>>> {
        self.gap_from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests the minutes since the last data, at once, and then the one in which this connection began, once it is over.
    async fn repair(&self, symbols: &[Symbol], gap_from: DateTime<Utc>) -> anyhow::Result<()> {
        let minute = |time: DateTime<Utc>| Interval::Minute.floor(time);
        let begun = minute(Utc::now());
        let from = minute(gap_from).max(begun - REPAIRED);
        if from < begun {
            self.feed.fill(symbols, Interval::Minute, (from, begun)).await?;
        }
        let end = begun + Interval::Minute.duration() + SETTLED;
        tokio::time::sleep((end - Utc::now()).to_std().unwrap_or_default()).await;
        self.feed.fill(symbols, Interval::Minute, (begun, begun + Interval::Minute.duration())).await
    }

    fn url(&self, symbols: &[Symbol]) -> Url {
        let names = symbols.iter().map(|symbol| venue_name(*symbol).to_lowercase());
        let streams: Vec<String> =
            names.flat_map(|name| STREAMS.map(|kind| format!("{name}@{kind}"))).collect();
        let mut url = Url::from(self.feed);
        // Slashes and at-signs stay as they are: the venue reads the query as it stands.
        url.set_query(Some(&format!("streams={}", streams.join("/"))));
        url
    }

    async fn read(
        &self,
        reader: &mut FrameReader,
        symbols: &[Symbol],
        refused: &BTreeMap<Symbol, String>,
    ) -> Result<(), FeedError> {
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        let url = self.url(symbols);
        let connecting = connect_async_with_config(url.as_str(), Some(limits), true);
        let (mut socket, _) = timeout(Duration::from_millis(CONNECT_TIMEOUT_MS), connecting)
            .await
            .map_err(|_| FeedError::provider("the web socket does not answer"))?
            .map_err(|error| FeedError::provider(format!("the web socket: {error}")))?;
        let silence = Duration::from_millis(self.feed.config.silence_ms);
        let end = Instant::now() + Duration::from_secs(MAX_CONNECTION_SECONDS);
        let mut silent_at = Instant::now() + silence;
        // Health changes once a connection, not with every tick.
        let mut is_live = false;
        while Instant::now() < end {
            let message = timeout_at(silent_at, socket.next())
                .await
                .map_err(|_| FeedError::provider(format!("no data for {:.1} s", silence.as_secs_f64())))?;
            match message {
                Some(Ok(Message::Text(text))) => match self.frame(reader, text.as_bytes()).await? {
                    Received::Answer => {}
                    received @ (Received::Data | Received::Tick) => {
                        silent_at = Instant::now() + silence;
                        self.last_data.store(Utc::now().timestamp_millis(), Ordering::Relaxed);
                        if matches!(received, Received::Tick) && !is_live {
                            is_live = true;
                            self.feed.report(self.number, Part::Live(symbols.len(), refused.clone()));
                        }
                    }
                },
                Some(Ok(Message::Close(_))) | None => break,
                // Pings, which reading on answers, are no data: a connection may ping for ever.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(FeedError::provider(format!("the web socket: {error}"))),
            }
        }
        Ok(())
    }

    async fn frame(&self, reader: &mut FrameReader, bytes: &[u8]) -> Result<Received, FeedError> {
        let now = Utc::now();
        match reader.parse(bytes, now.trunc_subsecs(6)) {
            Ok(Frame::Tick(tick)) => {
                self.feed.outlet.offer(&[tick]).await?;
                Ok(Received::Tick)
            }
            Ok(Frame::Candle(candle)) => {
                self.feed.outlet.offer_candle(&candle).await?;
                Ok(Received::Data)
            }
            Ok(Frame::Update) => Ok(Received::Data),
            Ok(Frame::Nothing) => Ok(Received::Answer),
            Err(error) => {
                self.feed.outlet.metrics().errors.add(1);
                tracing::warn!(%error, "a frame of binance was passed over");
                Ok(Received::Answer)
            }
        }
    }
}
