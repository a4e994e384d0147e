//! What the live feeds of venues with web sockets share: their connections, the health of the feed, refused symbols, history beside the
//! trades, and the minutes after a disconnect.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, SubsecRound, Utc};
use futures_util::future::{BoxFuture, try_join_all};
use market::{AssetClass, Candle, Source, Symbol, Tick};
use tokio::sync::Notify;

use super::{
    FeedContext,
    fields::ParseError,
    minutes::{CandleHistory, Filling, Gap, REPAIRED},
    socket::{Request, Socket},
    without,
};
use crate::{
    config::ProducerConfig,
    feed_health::FeedHealth,
    gaps::{self, GapWatch},
    publish::Outlet,
    supervise::{FeedError, keep_alive},
    tails,
};

/// A venue whose trades come over web sockets.
pub(crate) trait Venue: Send + Sync {
    /// Reads the frames of one connection and of those that are made after it.
    type Reader: Send;

    /// The symbols of each connection.
    fn split(&self, symbols: &[Symbol]) -> Vec<Vec<Symbol>>;

    /// A reader before anything is known.
    fn reader(&self, symbols: &[Symbol]) -> Self::Reader;

    /// Requests what a connection has to have before it begins.
    fn prepare<'a>(
        &'a self,
        reader: &'a mut Self::Reader,
        symbols: &'a [Symbol],
    ) -> BoxFuture<'a, Result<Prepared, FeedError>>;

    /// What a connection for these symbols requests.
    fn request(&self, symbols: &[Symbol]) -> Request;

    /// Reads a frame. Pure.
    fn read(
        &self,
        reader: &mut Self::Reader,
        frame: &[u8],
        received_at: DateTime<Utc>,
    ) -> Result<Received, ParseError>;

    /// Its candles of the past.
    fn history(&self) -> &dyn CandleHistory;
}

/// What was requested before a connection begins.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// Symbols that the venue does not have, with the reasons.
    pub(crate) refused: Vec<(Symbol, String)>,
    /// Parts of an answer that cannot be used.
    pub(crate) errors: Vec<ParseError>,
}

/// What a frame was.
#[derive(Debug)]
pub(crate) enum Received {
    /// Trades, and why others of the same frame cannot be used.
    Trades(Vec<Tick>, Vec<ParseError>),
    /// A minute that is over, as the venue quotes it.
    Candle(Candle),
    /// Data that are not passed on: figures of the day, a minute in progress, trades that are known.
    Update,
    /// No data: an acknowledgement, or an answer that a venue also sends while its data have stopped.
    Answer,
    /// The venue does not have these symbols.
    Refused {
        symbols: Vec<(Symbol, String)>,
        /// What has to be sent so that the other symbols are subscribed.
        messages: Vec<String>,
    },
    /// The venue refuses the subscription as a whole.
    Failed(String),
}

/// The watched pairs that a venue does not have, with the reason.
///
/// # Errors
/// It has none of them.
pub(crate) fn some_listed(
    config: &ProducerConfig,
    refused: impl FnOnce(&[Symbol]) -> Vec<(Symbol, String)>,
) -> anyhow::Result<Vec<(Symbol, String)>> {
    let pairs = watched_pairs(config);
    let refused = refused(&pairs);
    match refused.first() {
        Some((symbol, reason)) if refused.len() == pairs.len() => anyhow::bail!("{symbol}: {reason}"),
        _ => Ok(refused),
    }
}

/// The pairs of the watch list.
pub(crate) fn watched_pairs(config: &ProducerConfig) -> Vec<Symbol> {
    let symbols = config.watchlist.symbols().iter().copied();
    symbols.filter(|symbol| symbol.asset_class() == AssetClass::Crypto).collect()
}

/// Passes trades on until the shutdown, while history is filled in: the minutes of the last day first.
pub(crate) async fn run<V: Venue>(venue: V, name: &'static str, context: FeedContext) -> anyhow::Result<()> {
    let link = context.link(name);
    let FeedContext { config, symbols, log, store, gaps, outlet, health, shutdown, .. } = context;
    let source = Source::parse(name).context("the name of the source")?;
    let tails = tails::read(&*log, source).await.context("cannot see where the last run ended")?;
    let open = gaps::open_ones(store.as_deref(), source, &symbols).await;
    // A feed that stood by meanwhile has missed nothing.
    let newest: Vec<Tick> =
        tails.newest.into_iter().filter(|tick| health.is_preferred(tick.symbol)).collect();
    let (gaps, repairs) = gaps::watch(&newest, open, gaps);
    let parts = venue.split(&symbols);
    let states = Mutex::new(vec![Part::Starting; parts.len()]);
    let silence = Duration::from_millis(config.silence_ms);
    let feed = LiveFeed { venue, name, silence, outlet, gaps, health, states, has_answered: Notify::new() };
    let live = try_join_all(parts.iter().enumerate().map(async |(number, symbols)| {
        let connection = Connection::new(&feed, number, symbols);
        let report = |reason: &str| feed.report(number, Part::Down(reason.to_owned()));
        keep_alive(&link, report, || connection.run()).await
    }));
    let filling = async {
        // A venue that is away at the start has its history queried once it is back.
        feed.has_answered.notified().await;
        feed.filling().start(&symbols).await
    };
    let filling = async { shutdown.run_until_cancelled(filling).await.unwrap_or(Ok(())) };
    let repairing = repairs.run(REPAIRED, feed.filling());
    let repairing = async { shutdown.run_until_cancelled(repairing).await.unwrap_or(Ok(())) };
    tokio::try_join!(live, filling, repairing)?;
    Ok(())
}

struct LiveFeed<V> {
    venue: V,
    name: &'static str,
    silence: Duration,
    outlet: Outlet,
    gaps: GapWatch,
    health: FeedHealth,
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

impl<V: Venue> LiveFeed<V> {
    fn filling(&self) -> Filling<'_> {
        Filling { history: self.venue.history(), outlet: &self.outlet }
    }

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
                let reasons = refused.iter().map(|(symbol, reason)| (*symbol, reason.as_str()));
                let detail = format!("{live} symbols, live{}", without(reasons));
                self.health.up_without(&detail, refused.keys().copied());
            }
        }
    }

    fn count_errors(&self, what: &str, errors: &[ParseError]) {
        for error in errors {
            self.outlet.metrics().errors.add(1);
            tracing::warn!(%error, "{what} of {} was passed over", self.name);
        }
    }
}

/// A connection that is made again and again.
struct Connection<'a, V: Venue> {
    feed: &'a LiveFeed<V>,
    /// Among those of the feed.
    number: usize,
    symbols: &'a [Symbol],
    /// Of the connection that is open. It is kept when the next one begins, so that trades which come again are recognised.
    reader: tokio::sync::Mutex<V::Reader>,
    gap: Gap,
}

/// The symbols of an open connection.
struct Subscribed {
    listed: Vec<Symbol>,
    refused: BTreeMap<Symbol, String>,
}

impl Subscribed {
    /// Removes symbols that the venue does not have.
    ///
    /// # Errors
    /// None is left.
    fn refuse(&mut self, name: &str, refused: Vec<(Symbol, String)>) -> Result<(), FeedError> {
        for (symbol, reason) in refused {
            if !self.listed.contains(&symbol) {
                continue;
            }
            tracing::warn!(%symbol, reason, "{name} does not have a watched pair");
            self.listed.retain(|listed| *listed != symbol);
            self.refused.insert(symbol, reason);
        }
        match self.refused.values().next() {
            Some(reason) if self.listed.is_empty() => {
                Err(FeedError::provider(format!("it has none of the watched pairs: {reason}")))
            }
            _ => Ok(()),
        }
    }
}

impl<'a, V: Venue> Connection<'a, V> {
    fn new(feed: &'a LiveFeed<V>, number: usize, symbols: &'a [Symbol]) -> Self {
        let reader = tokio::sync::Mutex::new(feed.venue.reader(symbols));
        Self { feed, number, symbols, reader, gap: Gap::new(Utc::now()) }
    }

    /// One connection, from its start to its end.
    async fn run(&self) -> Result<(), FeedError> {
        let mut reader = self.reader.lock().await;
        let prepared = self.feed.venue.prepare(&mut reader, self.symbols).await?;
        self.feed.has_answered.notify_one();
        self.feed.count_errors("a part of an answer", &prepared.errors);
        let mut subscribed = Subscribed { listed: self.symbols.to_vec(), refused: BTreeMap::new() };
        subscribed.refuse(self.feed.name, prepared.refused)?;
        let listed = subscribed.listed.clone();
        let gap_from = self.gap.open();
        let read = self.read(&mut reader, &mut subscribed);
        let repair = async {
            self.feed.filling().repair(&listed, gap_from).await?;
            self.gap.repaired();
            // The connection goes on.
            std::future::pending::<Result<(), FeedError>>().await
        };
        let ended = tokio::select! {
            ended = read => ended,
            failed = repair => failed,
        };
        self.feed.gaps.disconnected(self.symbols);
        ended
    }

    async fn read(&self, reader: &mut V::Reader, subscribed: &mut Subscribed) -> Result<(), FeedError> {
        let feed = self.feed;
        let mut socket = Socket::open(feed.venue.request(&subscribed.listed), feed.silence).await?;
        // Health changes once a connection and with a refusal, not with every tick.
        let mut is_live = false;
        while let Some(frame) = socket.next().await? {
            let now = Utc::now();
            let received = match feed.venue.read(reader, frame.as_bytes(), now.trunc_subsecs(6)) {
                Ok(received) => received,
                Err(error) => {
                    feed.count_errors("a frame", &[error]);
                    continue;
                }
            };
            match received {
                Received::Trades(ticks, errors) => {
                    feed.count_errors("a trade", &errors);
                    if ticks.is_empty() {
                        continue;
                    }
                    feed.gaps.take_in(&ticks, now);
                    feed.outlet.offer(&ticks).await?;
                    if !is_live {
                        is_live = true;
                        self.report_live(subscribed);
                    }
                }
                Received::Candle(candle) => feed.outlet.offer_candle(&candle).await?,
                Received::Update => {}
                Received::Answer => continue,
                Received::Refused { symbols, messages } => {
                    subscribed.refuse(feed.name, symbols)?;
                    socket.send(messages).await?;
                    if is_live {
                        self.report_live(subscribed);
                    }
                    continue;
                }
                Received::Failed(reason) => return Err(FeedError::provider(reason)),
            }
            socket.data_received();
            self.gap.data_received(Utc::now());
        }
        Ok(())
    }

    fn report_live(&self, Subscribed { listed, refused }: &Subscribed) {
        self.feed.report(self.number, Part::Live(listed.len(), refused.clone()));
    }
}
