//! From feeds to the log: encodes, sends in order, and keeps count of what became durable.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use chrono::Utc;
use event_log::{NewRecord, Publisher, Receipt};
use market::{AssetClass, Candle, Tick};
use tokio::sync::mpsc;

use crate::metrics::FeedMetrics;

/// Batches on the way to the disk of the log; further ones wait.
const MAX_UNACKNOWLEDGED: usize = 1_024;
/// A socket feed waits so long for room in the log's buffer, then drops what it has and goes on reading.
const OFFER_TIMEOUT_MS: u64 = 1_000;

/// One feed's way to the log. Batches of one outlet keep their order.
#[derive(Clone)]
pub(crate) struct Outlet {
    publisher: Arc<dyn Publisher>,
    unacknowledged: mpsc::Sender<Sent>,
    metrics: FeedMetrics,
}

/// A batch that the log has accepted and not yet acknowledged.
struct Sent {
    receipt: Receipt,
    received_at: Vec<chrono::DateTime<Utc>>,
}

/// Waits for the acknowledgements of one outlet, until all its clones are gone.
pub(crate) struct Acknowledgements {
    unacknowledged: mpsc::Receiver<Sent>,
    metrics: FeedMetrics,
}

/// An outlet and the task side of it.
pub(crate) fn outlet(publisher: Arc<dyn Publisher>, metrics: FeedMetrics) -> (Outlet, Acknowledgements) {
    let (sender, receiver) = mpsc::channel(MAX_UNACKNOWLEDGED);
    let outlet = Outlet { publisher, unacknowledged: sender, metrics: metrics.clone() };
    (outlet, Acknowledgements { unacknowledged: receiver, metrics })
}

impl Acknowledgements {
    /// A batch that the log could not store is the end: the adapters try again by themselves where that helps, so what
    /// arrives here is a full disk, or a log that refuses for good.
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
    /// The feed's figures.
    pub(crate) fn metrics(&self) -> &FeedMetrics {
        &self.metrics
    }

    /// Sends ticks in order; waits while the log's buffer is full, and so slows the feed down.
    pub(crate) async fn send(&self, ticks: &[Tick]) -> anyhow::Result<()> {
        for class in [AssetClass::Stock, AssetClass::Crypto] {
            let of_class: Vec<&Tick> = ticks.iter().filter(|tick| tick.asset_class() == class).collect();
            if of_class.is_empty() {
                continue;
            }
            self.metrics.received.add(of_class.len() as u64);
            let topic = topics::tick::topic_for(class);
            let receipt =
                self.publisher.send(topic, records(&of_class)).await.context("cannot publish ticks")?;
            let received_at = of_class.iter().map(|tick| tick.received_at).collect();
            // Nobody collects any more only while the process goes down.
            let _ = self.unacknowledged.send(Sent { receipt, received_at }).await;
        }
        Ok(())
    }

    /// The same for a feed that must not be kept waiting: after a while the ticks are dropped, counted and said.
    pub(crate) async fn offer(&self, ticks: &[Tick]) -> anyhow::Result<()> {
        let deadline = Duration::from_millis(OFFER_TIMEOUT_MS);
        if let Ok(sent) = tokio::time::timeout(deadline, self.send(ticks)).await {
            return sent;
        }
        self.metrics.dropped.add(ticks.len() as u64);
        tracing::warn!(dropped = ticks.len(), "the event log takes no more; ticks were dropped");
        Ok(())
    }

    /// Sends bars, and waits until they are durable.
    pub(crate) async fn send_candles(&self, candles: &[Candle]) -> anyhow::Result<()> {
        /// Bars in one batch.
        const BATCH: usize = 2_000;
        let mut receipts = Vec::new();
        for batch in candles.chunks(BATCH) {
            let record =
                |candle: &Candle| record(candle.symbol.as_str(), topics::candle::encode(candle), Utc::now());
            let records = batch.iter().map(record).collect();
            receipts.push(
                self.publisher.send(topics::candle::TOPIC, records).await.context("cannot publish bars")?,
            );
        }
        for receipt in receipts {
            receipt.durable().await.context("the event log did not store bars")?;
        }
        Ok(())
    }
}

/// The records of ticks, all cut from one buffer.
fn records(ticks: &[&Tick]) -> Vec<NewRecord> {
    let mut buffer = Vec::with_capacity(ticks.len() * 256);
    let mut ends = Vec::with_capacity(ticks.len());
    for tick in ticks {
        topics::tick::encode(tick, &mut buffer);
        ends.push(buffer.len());
    }
    let whole = Bytes::from(buffer);
    let now = Utc::now();
    let mut start = 0;
    let cut = |(tick, end): (&&Tick, usize)| {
        let payload = whole.slice(start..end);
        start = end;
        NewRecord {
            key: Some(Bytes::copy_from_slice(tick.symbol.as_str().as_bytes())),
            payload,
            headers: Vec::new(),
            // Of the record, not of the tick: by it a broker tells when a record has expired.
            timestamp: now,
        }
    };
    ticks.iter().zip(ends).map(cut).collect()
}

fn record(key: &str, payload: Vec<u8>, timestamp: chrono::DateTime<Utc>) -> NewRecord {
    NewRecord {
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        payload: Bytes::from(payload),
        headers: Vec::new(),
        timestamp,
    }
}
