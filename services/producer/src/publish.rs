//! From feeds to the log: encodes, sends in order, and counts what became durable.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use event_log::{DEAD_LETTER_SUFFIX, NewRecord, Publisher, Receipt};
use market::{AssetClass, Candle, Symbol, Tick};
use tokio::sync::mpsc;
use topics::tick::RECORDED_HEADER;

use crate::{
    feed_health::RouteTable,
    metrics::FeedMetrics,
    price_jump::{PriceJumps, RefusedTick},
    route::FeedNumber,
};

/// Batches on the way to the disk of the log; further ones wait. The log's own buffer is the bound that counts, in bytes:
/// this one is for batches of a single tick, as sockets bring them.
const MAX_UNACKNOWLEDGED: usize = 131_072;
/// A socket feed waits so long for room in the log's buffer, then drops what it has and goes on reading. Until there is
/// room again it does not wait: a tick a second would leave the rest unread, and uncounted.
const OFFER_TIMEOUT_MS: u64 = 1_000;

/// One feed's way to the log. Batches of one outlet keep their order.
#[derive(Clone)]
pub(crate) struct Outlet {
    publisher: Arc<dyn Publisher>,
    unacknowledged: mpsc::Sender<Sent>,
    /// The last offer found no room.
    is_full: Arc<AtomicBool>,
    /// The ticks come from a recording, and their records have [`RECORDED_HEADER`].
    is_recorded: bool,
    /// Where the feed is one of several: symbols that another one serves are passed over.
    gate: Option<Gate>,
    /// Where prices that jump wait.
    jumps: Option<SharedJumps>,
    metrics: FeedMetrics,
}

/// The last prices of all live feeds of a process.
pub(crate) type SharedJumps = Arc<Mutex<PriceJumps>>;

#[derive(Clone)]
struct Gate {
    table: Arc<RouteTable>,
    feed: FeedNumber,
}

/// A batch that the log has accepted and not yet acknowledged.
struct Sent {
    receipt: Receipt,
    received_at: Vec<DateTime<Utc>>,
}

/// Waits for the acknowledgements of one outlet, until all its clones are gone.
pub(crate) struct Acknowledgements {
    unacknowledged: mpsc::Receiver<Sent>,
    metrics: FeedMetrics,
}

/// An outlet and the task side of it.
pub(crate) fn outlet(publisher: Arc<dyn Publisher>, metrics: FeedMetrics) -> (Outlet, Acknowledgements) {
    let (sender, receiver) = mpsc::channel(MAX_UNACKNOWLEDGED);
    let outlet = Outlet {
        publisher,
        unacknowledged: sender,
        is_full: Arc::default(),
        is_recorded: false,
        gate: None,
        jumps: None,
        metrics: metrics.clone(),
    };
    (outlet, Acknowledgements { unacknowledged: receiver, metrics })
}

impl Acknowledgements {
    /// A batch that the log could not store ends the process: the adapters retry where that helps, so an error here is
    /// permanent, such as a full disk.
    pub(crate) async fn collect(mut self) -> anyhow::Result<()> {
        while let Some(Sent { receipt, received_at }) = self.unacknowledged.recv().await {
            receipt.durable().await.context("the event log did not store ticks")?;
            let now = Utc::now();
            self.metrics.published.add(received_at.len() as u64);
            self.metrics.latency.record_live(received_at.into_iter().map(|received_at| now - received_at));
        }
        Ok(())
    }
}

impl Outlet {
    /// The same for ticks of a recording: readers can tell them from live ones of the same venue.
    pub(crate) fn of_recording(self) -> Self {
        Self { is_recorded: true, ..self }
    }

    /// The same for one of several feeds: live prices of symbols that another one serves are passed over. Candles of the past are
    /// not: each feed's are complete.
    pub(crate) fn gated(self, table: Arc<RouteTable>, feed: FeedNumber) -> Self {
        Self { gate: Some(Gate { table, feed }), ..self }
    }

    fn serves(&self, symbol: Symbol) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate.table.is_active(gate.feed, symbol))
    }

    /// The same for a live feed: a price that is far from the last one waits for a second one.
    pub(crate) fn watching(self, jumps: SharedJumps) -> Self {
        Self { jumps: Some(jumps), ..self }
    }

    /// Of ticks that arrived, those that are to be published now, and those that are refused; others wait, or are passed over.
    fn judged(&self, ticks: &[Tick]) -> (Vec<Tick>, Vec<RefusedTick>) {
        self.metrics.received.add(ticks.len() as u64);
        let served: Vec<Tick> = ticks.iter().copied().filter(|tick| self.serves(tick.symbol)).collect();
        self.metrics.passed_over.add((ticks.len() - served.len()) as u64);
        let Some(jumps) = &self.jumps else { return (served, Vec::new()) };
        let mut jumps = jumps.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut accepted, mut refused) = (Vec::with_capacity(served.len()), Vec::new());
        for tick in served {
            let judged = jumps.take_in(tick);
            accepted.extend(judged.accepted);
            refused.extend(judged.refused);
        }
        (accepted, refused)
    }

    /// The feed's figures.
    pub(crate) fn metrics(&self) -> &FeedMetrics {
        &self.metrics
    }

    /// Sends ticks in order; waits while the log's buffer is full, and so slows the feed down.
    pub(crate) async fn send(&self, ticks: &[Tick]) -> anyhow::Result<()> {
        let (accepted, refused) = self.judged(ticks);
        for (topic, of_class) in by_topic(&accepted) {
            self.pass_on(topic, records(&of_class, self.is_recorded), received_at(&of_class)).await?;
        }
        self.refuse(&refused).await
    }

    /// The same for a feed that must not wait: where there is no room, the ticks are dropped, counted and logged.
    pub(crate) async fn offer(&self, ticks: &[Tick]) -> anyhow::Result<()> {
        let (accepted, refused) = self.judged(ticks);
        for (topic, of_class) in by_topic(&accepted) {
            let records = records(&of_class, self.is_recorded);
            let is_sent = self.try_for_a_while(self.pass_on(topic, records, received_at(&of_class)));
            if !is_sent.await? {
                self.metrics.dropped.add(of_class.len() as u64);
            }
        }
        self.refuse(&refused).await
    }

    /// Keeps ticks that are not published, with the reasons, where records are that cannot be decoded.
    async fn refuse(&self, refused: &[RefusedTick]) -> anyhow::Result<()> {
        for (topic, record) in dead_letters(refused) {
            self.metrics.refused.add(1);
            if !self.try_for_a_while(self.pass_on(&topic, vec![record], Vec::new())).await? {
                self.metrics.dropped.add(1);
            }
        }
        Ok(())
    }

    /// A quoted candle from a feed that must not wait; where there is no room, it is dropped, counted as an error and logged.
    pub(crate) async fn offer_candle(&self, candle: &Candle) -> anyhow::Result<()> {
        if !self.serves(candle.symbol) {
            return Ok(());
        }
        let records = vec![candle_record(candle)];
        if !self.try_for_a_while(self.pass_on(topics::quoted_candle::TOPIC, records, Vec::new())).await? {
            self.metrics.errors.add(1);
        }
        Ok(())
    }

    /// Whether there was room in time.
    async fn try_for_a_while(
        &self,
        sending: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<bool> {
        let was_full = self.is_full.load(Ordering::Relaxed);
        // Without a wait the sending is still tried once.
        let deadline = Duration::from_millis(if was_full { 0 } else { OFFER_TIMEOUT_MS });
        let sent = tokio::time::timeout(deadline, sending).await;
        self.is_full.store(sent.is_err(), Ordering::Relaxed);
        match (was_full, &sent) {
            (false, Err(_)) => {
                tracing::warn!(
                    "the buffer of the event log is full; from here on ticks are dropped and counted"
                );
            }
            (true, Ok(_)) => {
                tracing::info!(
                    dropped_so_far = self.metrics.dropped.total(),
                    "the event log takes ticks again"
                );
            }
            _ => {}
        }
        sent.map_or(Ok(false), |sent| sent.map(|()| true))
    }

    /// To the log. A place for the receipt first: what has been sent must not be taken for dropped.
    async fn pass_on(
        &self,
        topic: &str,
        records: Vec<NewRecord>,
        received_at: Vec<DateTime<Utc>>,
    ) -> anyhow::Result<()> {
        // The receiver is gone only while the process shuts down.
        let Ok(place) = self.unacknowledged.reserve().await else { return Ok(()) };
        let receipt = self
            .publisher
            .send(topic, records)
            .await
            .with_context(|| format!("cannot publish to {topic}"))?;
        place.send(Sent { receipt, received_at });
        Ok(())
    }

    /// Sends quoted candles, and waits until they are durable.
    pub(crate) async fn send_candles(&self, candles: &[Candle]) -> anyhow::Result<()> {
        /// Candles in one batch.
        const BATCH: usize = 2_000;
        let mut receipts = Vec::new();
        for batch in candles.chunks(BATCH) {
            let records = batch.iter().map(candle_record).collect();
            receipts.push(
                self.publisher
                    .send(topics::quoted_candle::TOPIC, records)
                    .await
                    .context("cannot publish quoted candles")?,
            );
        }
        for receipt in receipts {
            receipt.durable().await.context("the event log did not store quoted candles")?;
        }
        Ok(())
    }
}

/// The records of ticks, all cut from one buffer.
fn records(ticks: &[&Tick], is_recorded: bool) -> Vec<NewRecord> {
    let mut buffer = Vec::with_capacity(ticks.len() * 256);
    let mut ends = Vec::with_capacity(ticks.len());
    for tick in ticks {
        topics::tick::encode(tick, &mut buffer);
        ends.push(buffer.len());
    }
    let whole = Bytes::from(buffer);
    let now = Utc::now();
    let header = || (RECORDED_HEADER.to_owned(), Bytes::from_static(b"1"));
    let mut start = 0;
    let cut = |(tick, end): (&&Tick, usize)| {
        let payload = whole.slice(start..end);
        start = end;
        NewRecord {
            key: Some(Bytes::copy_from_slice(tick.symbol.as_str().as_bytes())),
            payload,
            headers: is_recorded.then(header).into_iter().collect(),
            // Of the record, not of the tick: a broker expires records by it.
            timestamp: now,
        }
    };
    ticks.iter().zip(ends).map(cut).collect()
}

fn candle_record(candle: &Candle) -> NewRecord {
    NewRecord {
        key: Some(Bytes::copy_from_slice(candle.symbol.as_str().as_bytes())),
        payload: Bytes::from(topics::quoted_candle::encode(candle)),
        headers: Vec::new(),
        timestamp: Utc::now(),
    }
}

/// Ticks in order, by their topics.
fn by_topic(ticks: &[Tick]) -> impl Iterator<Item = (&'static str, Vec<&Tick>)> {
    [AssetClass::Stock, AssetClass::Crypto].into_iter().filter_map(|class| {
        let of_class: Vec<&Tick> = ticks.iter().filter(|tick| tick.asset_class() == class).collect();
        (!of_class.is_empty()).then(|| (topics::tick::topic_for(class), of_class))
    })
}

/// Writes ticks that waited for a second price when the feeds ended to where refused ones are.
pub(crate) async fn refuse_at_the_end(
    publisher: &dyn Publisher,
    refused: &[RefusedTick],
) -> anyhow::Result<()> {
    for (topic, record) in dead_letters(refused) {
        let durable = async { publisher.send(&topic, vec![record]).await?.durable().await };
        durable.await.with_context(|| format!("cannot publish a refused tick to {topic}"))?;
    }
    Ok(())
}

/// The dead letters of refused ticks, each with its topic. They can be redelivered.
fn dead_letters(refused: &[RefusedTick]) -> impl Iterator<Item = (String, NewRecord)> {
    let now = Utc::now();
    refused.iter().map(move |(tick, reason)| {
        tracing::warn!(symbol = %tick.symbol, source = %tick.source, reason, "a price was refused");
        let topic = topics::tick::topic_for(tick.asset_class());
        let header = |name: &str, value: String| (name.to_owned(), Bytes::from(value));
        let mut payload = Vec::new();
        topics::tick::encode(tick, &mut payload);
        let record = NewRecord {
            key: Some(Bytes::copy_from_slice(tick.symbol.as_str().as_bytes())),
            payload: payload.into(),
            headers: vec![
                header("topic", topic.to_owned()),
                header("reason", reason.clone()),
                header("when", now.to_rfc3339_opts(SecondsFormat::Millis, true)),
            ],
            timestamp: now,
        };
        (format!("{topic}{DEAD_LETTER_SUFFIX}"), record)
    })
}

fn received_at(ticks: &[&Tick]) -> Vec<DateTime<Utc>> {
    ticks.iter().map(|tick| tick.received_at).collect()
}
