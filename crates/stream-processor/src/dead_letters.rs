//! Records that cannot be decoded go to the dead-letter topic of their topic.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use event_log::{EventLog, NewRecord, Publisher};

use crate::metrics::Metrics;

/// Dead letters of a topic are logged at most so often, in seconds; they are counted always.
const LOG_INTERVAL_SECONDS: u64 = 10;

/// What happens to records that cannot be decoded. Of several groups that read the same topic one publishes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterPolicy {
    /// They are published to `<topic>.dlq` and counted.
    Publish,
    /// They are counted: another group publishes them.
    Count,
}

/// Publishes or counts dead letters.
pub(crate) struct DeadLetters {
    /// `None` where they are only counted.
    publisher: Option<Arc<dyn Publisher>>,
    metrics: Arc<Metrics>,
    logged: Mutex<BTreeMap<String, Logged>>,
}

/// The last log line about a topic.
struct Logged {
    at: Instant,
    /// Dead letters since.
    count_since: usize,
}

impl DeadLetters {
    pub(crate) fn new(
        log: &dyn EventLog,
        policy: DeadLetterPolicy,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let publisher = match policy {
            DeadLetterPolicy::Publish => Some(log.publisher().context("cannot publish dead letters")?),
            DeadLetterPolicy::Count => None,
        };
        Ok(Self { publisher, metrics, logged: Mutex::default() })
    }

    /// Takes records with the topics they go to; returns when they are durable. The records came out of the log, so that waiting
    /// for it is no new dependency.
    pub(crate) async fn publish(&self, letters: Vec<(String, NewRecord)>) -> anyhow::Result<()> {
        self.metrics.dead_letters.add(letters.len() as u64);
        let Some(publisher) = &self.publisher else { return Ok(()) };
        let mut by_topic: BTreeMap<String, Vec<NewRecord>> = BTreeMap::new();
        for (topic, record) in letters {
            by_topic.entry(topic).or_default().push(record);
        }
        for (topic, records) in by_topic {
            self.log_line(&topic, &records);
            let durable = async { publisher.send(&topic, records).await?.durable().await };
            durable.await.with_context(|| format!("cannot publish dead letters to {topic}"))?;
        }
        Ok(())
    }

    /// Logs the first ones at once, and later ones together: every batch may have some.
    fn log_line(&self, topic: &str, letters: &[NewRecord]) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let count_since = match logged.get_mut(topic) {
            Some(last) if last.at.elapsed() < Duration::from_secs(LOG_INTERVAL_SECONDS) => {
                last.count_since += letters.len();
                return;
            }
            Some(last) => last.count_since,
            None => 0,
        };
        logged.insert(topic.to_owned(), Logged { at: Instant::now(), count_since: 0 });
        let reason = letters.first().and_then(|letter| {
            letter.headers.iter().find(|(name, _)| name == "reason").map(|(_, value)| value)
        });
        tracing::warn!(
            topic,
            count = count_since + letters.len(),
            reason = %String::from_utf8_lossy(reason.map_or(b"", |reason| reason)),
            "records that could not be decoded went to the dead letters; `tapedeck topics dead-letters` lists them, and \
             `tapedeck topics redeliver` publishes them again once they can be decoded"
        );
    }
}
