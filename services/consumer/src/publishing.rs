//! What the consumer says to the log: dead letters, and bars that closed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use chrono::Utc;
use event_log::{EventLog, NewRecord, Publisher, Receipt};
use market::{Candle, Interval};

use crate::metrics::Metrics;

/// Dead letters are said at most so often, in seconds; they are counted all the time.
const SAID_SECONDS: u64 = 10;

/// The log came with the messages, so waiting for it is no new dependency; it gives up only for good.
pub(crate) struct Publishing {
    publisher: Arc<dyn Publisher>,
    metrics: Arc<Metrics>,
    said: Mutex<BTreeMap<String, Said>>,
}

/// What was said of the dead letters of a topic.
struct Said {
    at: Instant,
    /// Dead letters since then.
    unsaid: usize,
}

impl Publishing {
    pub(crate) fn new(log: &dyn EventLog, metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let publisher = log.publisher().context("cannot publish candles and dead letters")?;
        Ok(Self { publisher, metrics, said: Mutex::default() })
    }

    /// Records with the topics they go to.
    pub(crate) async fn dead_letters(&self, letters: Vec<(String, NewRecord)>) -> anyhow::Result<()> {
        self.metrics.dead_letters.add(letters.len() as u64);
        let mut by_topic: BTreeMap<String, Vec<NewRecord>> = BTreeMap::new();
        for (topic, record) in letters {
            by_topic.entry(topic).or_default().push(record);
        }
        for (topic, records) in by_topic {
            self.say(&topic, &records);
            self.send(&topic, records).await?;
        }
        Ok(())
    }

    /// At once, and then now and then: every batch may have some.
    fn say(&self, topic: &str, letters: &[NewRecord]) {
        // Nothing panics while it is held.
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let unsaid = match said.get_mut(topic) {
            Some(said) if said.at.elapsed() < Duration::from_secs(SAID_SECONDS) => {
                said.unsaid += letters.len();
                return;
            }
            Some(said) => said.unsaid,
            None => 0,
        };
        said.insert(topic.to_owned(), Said { at: Instant::now(), unsaid: 0 });
        let reason = letters.first().and_then(|letter| {
            letter.headers.iter().find(|(name, _)| name == "reason").map(|(_, value)| value)
        });
        tracing::warn!(
            topic,
            count = unsaid + letters.len(),
            reason = %String::from_utf8_lossy(reason.map_or(b"", |reason| reason)),
            "messages that could not be read went to the dead letters; `tapedeck topics dead-letters` shows them, and once \
             they can be read, `tapedeck topics redeliver` sends them again"
        );
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
