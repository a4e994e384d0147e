//! What the consumer says to the log: dead letters, and bars that closed.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use chrono::Utc;
use event_log::{EventLog, NewRecord, Publisher, Receipt};
use market::{Candle, Interval};

use crate::metrics::Metrics;

/// The log came with the messages, so waiting for it is no new dependency; it gives up only for good.
pub(crate) struct Publishing {
    publisher: Arc<dyn Publisher>,
    metrics: Arc<Metrics>,
}

impl Publishing {
    pub(crate) fn new(log: &dyn EventLog, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        Ok(Self { publisher: log.publisher().context("cannot publish candles and dead letters")?, metrics })
    }

    /// Records with the topics they go to.
    pub(crate) async fn dead_letters(&self, letters: Vec<(String, NewRecord)>) -> anyhow::Result<()> {
        self.metrics.dead_letters.add(letters.len() as u64);
        let mut by_topic: BTreeMap<String, Vec<NewRecord>> = BTreeMap::new();
        for (topic, record) in letters {
            by_topic.entry(topic).or_default().push(record);
        }
        for (topic, records) in by_topic {
            let reason = records.first().and_then(|record| {
                record.headers.iter().find(|(name, _)| name == "reason").map(|(_, value)| value)
            });
            tracing::warn!(
                topic,
                count = records.len(),
                first_reason = %String::from_utf8_lossy(reason.map_or(b"", |reason| reason)),
                "messages that could not be read went to the dead letters"
            );
            self.send(&topic, records).await?;
        }
        Ok(())
    }

    /// One-minute bars go to their topic; wider ones can be derived from them.
    pub(crate) async fn candles(&self, closed: &[Candle]) -> anyhow::Result<()> {
        self.metrics.candles_closed.add(closed.len() as u64);
        let minutes = closed.iter().filter(|candle| candle.interval == Interval::Minute);
        let records: Vec<NewRecord> = minutes
            .map(|candle| NewRecord {
                key: Some(Bytes::copy_from_slice(candle.symbol.as_str().as_bytes())),
                payload: Bytes::from(topics::candle::encode(candle)),
                headers: Vec::new(),
                timestamp: Utc::now(),
            })
            .collect();
        if records.is_empty() { Ok(()) } else { self.send(topics::candle::TOPIC, records).await }
    }

    async fn send(&self, topic: &str, records: Vec<NewRecord>) -> anyhow::Result<()> {
        let receipt: Receipt =
            self.publisher.send(topic, records).await.with_context(|| format!("topic {topic}"))?;
        receipt.durable().await.with_context(|| format!("topic {topic}"))?;
        Ok(())
    }
}
