//! At the start, waits until the consumer has stored what the log held when the live view began to read at its end. Without
//! it the candles in progress would lack those ticks until the store is read again: after `kill -9` an embedded store is up to a
//! minute behind its log.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use event_log::{EventLog, TopicPartition};
use live_store::{CheckpointStore, LiveStore, LiveStoreError};
use service_runtime::Component;
use tokio::time::Instant;
use topics::{names::component, tick};

/// Between two looks at the checkpoints.
const POLL_MS: u64 = 50;
/// Bounds of the wait.
pub(crate) struct Limits {
    /// A consumer that stores nothing for so long is not waited for.
    idle_ms: u64,
    total_ms: u64,
}

/// A consumer saves checkpoints every second.
pub(crate) const LIMITS: Limits = Limits { idle_ms: 3_000, total_ms: 10_000 };

/// Offsets behind the last records of the tick topics.
#[derive(Debug, Default)]
pub(crate) struct LogEnds(BTreeMap<TopicPartition, u64>);

impl LogEnds {
    /// Those of now; none where the log does not respond.
    pub(crate) async fn read(log: &dyn EventLog) -> Self {
        let topics = match log.topics().await {
            Ok(topics) => topics,
            Err(error) => {
                tracing::warn!(%error, "the ends of the topics cannot be read");
                return Self::default();
            }
        };
        let of_ticks = topics
            .into_iter()
            .filter(|topic| [tick::STOCK_PRICES, tick::CRYPTO_PRICES].contains(&topic.name.as_str()));
        let ends = of_ticks.flat_map(|topic| {
            let name: Arc<str> = topic.name.as_str().into();
            let place = move |partition| TopicPartition { topic: Arc::clone(&name), partition };
            let filled = (0..).zip(topic.partitions).filter(|(_, (first, end))| end > first);
            filled.map(move |(partition, (_, end))| (place(partition), end))
        });
        Self(ends.collect())
    }

    /// Records before these ends that are not stored.
    async fn behind(&self, store: &dyn LiveStore) -> Result<u64, LiveStoreError> {
        let stored = CheckpointStore::checkpoints(store, component::CONSUMER).await?;
        let next = |place: &TopicPartition| {
            let of_place = stored.iter().find(|checkpoint| {
                *checkpoint.topic == *place.topic && checkpoint.partition == place.partition
            });
            of_place.map_or(0, |checkpoint| checkpoint.next_offset)
        };
        Ok(self.0.iter().map(|(place, end)| end.saturating_sub(next(place))).sum())
    }
}

/// Waits, within bounds, until the store has the records before `ends`.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn wait_until_stored(
    store: &dyn LiveStore,
    ends: &LogEnds,
    limits: &Limits,
    pages: &Component,
) -> Result<(), LiveStoreError> {
    let begun = Instant::now();
    let (mut least, mut since) = (u64::MAX, begun);
    loop {
        let behind = ends.behind(store).await?;
        if behind == 0 {
            return Ok(());
        }
        if behind < least {
            (least, since) = (behind, Instant::now());
            pages.down(&format!("waiting for the consumer to store {behind} records of the log"));
        }
        let is_idle = since.elapsed() > Duration::from_millis(limits.idle_ms);
        if is_idle || begun.elapsed() > Duration::from_millis(limits.total_ms) {
            tracing::info!(behind, "the pages are served before the consumer has stored the whole log");
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use event_log::NewRecord;
    use service_runtime::Status;
    use tempfile::TempDir;

    use super::*;

    struct World {
        log: Arc<dyn EventLog>,
        store: Arc<dyn LiveStore>,
        pages: Component,
        status: Arc<Status>,
        _folder: TempDir,
    }

    async fn world() -> World {
        let folder = TempDir::new().expect("a folder");
        let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let log = event_log::open(&url("log.db")).await.expect("a log");
        service_runtime::create_topics(&*log).await.expect("topics");
        let store = live_store::open(&url("store.db")).await.expect("a store");
        let status = Status::new("web", "test", Utc::now());
        World { log, store, pages: status.component(component::PAGES), status, _folder: folder }
    }

    /// Publishes a record of ticks, and returns its partition.
    async fn publish(log: &dyn EventLog) -> i32 {
        let record = NewRecord {
            key: Some("AAPL".into()),
            payload: "{}".into(),
            headers: Vec::new(),
            timestamp: Utc::now(),
        };
        let publisher = log.publisher().expect("a publisher");
        let receipt = publisher.send(tick::STOCK_PRICES, vec![record]).await.expect("accepted");
        receipt.durable().await.expect("durable");
        let ends = LogEnds::read(log).await;
        ends.0.keys().next().expect("a partition with a record").partition
    }

    #[tokio::test]
    async fn a_log_without_ticks_is_not_waited_for() {
        let World { log, store, pages, _folder, .. } = world().await;
        let ends = LogEnds::read(&*log).await;
        let endless = Limits { idle_ms: u64::MAX, total_ms: u64::MAX };
        wait_until_stored(&*store, &ends, &endless, &pages).await.expect("the store answers");
    }

    #[tokio::test]
    async fn the_pages_wait_until_the_consumer_has_stored_what_the_log_held() {
        let World { log, store, pages, status, _folder } = world().await;
        let partition = publish(&*log).await;
        let ends = LogEnds::read(&*log).await;
        let endless = Limits { idle_ms: u64::MAX, total_ms: u64::MAX };
        let mut waiting = Box::pin(wait_until_stored(&*store, &ends, &endless, &pages));
        let is_named = || {
            let parts = status.snapshot(Utc::now()).components;
            parts.iter().any(|part| part.detail.contains("the consumer to store 1 records"))
        };
        while !is_named() {
            tokio::select! {
                done = &mut waiting => panic!("it did not wait: {done:?}"),
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
        let place = [(Arc::from(tick::STOCK_PRICES), partition)];
        let mut claimed = store.claim(component::CONSUMER, &place).await.expect("claimed");
        for checkpoint in &mut claimed {
            checkpoint.next_offset = 1;
        }
        store.save_checkpoints(&claimed).await.expect("saved");
        waiting.await.expect("the store answers");
    }

    #[tokio::test]
    async fn a_consumer_that_stores_nothing_is_not_waited_for() {
        let World { log, store, pages, _folder, .. } = world().await;
        publish(&*log).await;
        let ends = LogEnds::read(&*log).await;
        let short = Limits { idle_ms: 10, total_ms: u64::MAX };
        wait_until_stored(&*store, &ends, &short, &pages).await.expect("the store answers");
    }
}
