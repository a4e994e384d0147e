//! The loop on the real logs: the embedded one, and Kafka where `KAFKA_URL` names one. The checkpoints are in the embedded store.

use std::{
    process,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use chrono::Utc;
use event_log::{EventLog, NewRecord, Retention, TopicSpec};
use live_store::LiveStore;
use stream_processor::DeadLetterPolicy;
use tempfile::TempDir;

use crate::{
    count::Stored,
    world::{Running, counted, numbers, start, wait_until},
};

/// A log and a store for one test, with a topic and a group of its own.
struct World {
    folder: TempDir,
    log: Arc<dyn EventLog>,
    store: Arc<dyn LiveStore>,
    stored: Arc<Stored>,
    name: String,
}

impl World {
    async fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("log.db").display());
        Self::at(folder, &url).await
    }

    /// On the broker that the environment names. These tests are chosen by their names where there is one.
    async fn kafka() -> Self {
        let url = std::env::var("KAFKA_URL").expect("KAFKA_URL names a broker");
        Self::at(tempfile::tempdir().unwrap(), &url).await
    }

    async fn at(folder: TempDir, url: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("numbers-{}-{}-{number}", Utc::now().timestamp_millis(), process::id());
        let log = event_log::open(url).await.unwrap();
        let store = format!("sqlite:{}", folder.path().join("store.db").display());
        let store = live_store::open(&store).await.unwrap();
        let world = Self { folder, log, store, stored: Arc::default(), name };
        world.create_topics().await;
        world
    }

    async fn create_topics(&self) {
        let spec = |name: String| TopicSpec {
            name,
            partitions: 3,
            retention: Retention::For(Duration::from_hours(1)),
        };
        self.log.ensure_topics(&[spec(self.name.clone()), spec(format!("{}.dlq", self.name))]).await.unwrap();
    }

    fn start(&self) -> Running {
        let names = (self.name.as_str(), self.name.as_str());
        let store = Arc::clone(&self.store) as _;
        start(Arc::clone(&self.log), store, &self.stored, names, DeadLetterPolicy::Publish)
    }

    async fn publish(&self, records: &[(&str, String)]) {
        let record = |(key, payload): &(&str, String)| NewRecord {
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            headers: Vec::new(),
            timestamp: Utc::now(),
        };
        let records = records.iter().map(record).collect();
        self.log.publisher().unwrap().send(&self.name, records).await.unwrap().durable().await.unwrap();
    }

    async fn drained(&self) {
        wait_until("everything is committed", async || {
            let lags = self.log.lag(&self.name, &[&self.name]).await;
            lags.is_ok_and(|lags| lags.iter().all(|lag| lag.lag == 0))
        })
        .await;
    }

    fn assert_counted(&self, records: u64) {
        assert_eq!(*self.stored.counts.lock().unwrap(), counted(records));
    }
}

async fn killed_and_started_again_it_counts_every_record_once(world: World) {
    for part in 0..6 {
        let running = world.start();
        let before = world.stored.numbers.lock().unwrap().len();
        world.publish(&numbers(part * 200..part * 200 + 200)).await;
        if part % 2 == 0 {
            wait_until("something is stored", async || world.stored.numbers.lock().unwrap().len() > before)
                .await;
        }
        running.kill().await;
    }
    // Published once more: the producer did not know that they were stored.
    world.publish(&numbers(1_150..1_200)).await;
    let running = world.start();
    world.drained().await;
    running.stop().await.unwrap();
    world.assert_counted(1_200);
}

async fn two_members_share_the_partitions_and_count_every_record_once(world: World) {
    let first = world.start();
    world.publish(&numbers(0..500)).await;
    let second = world.start();
    world.publish(&numbers(500..1_000)).await;
    world.drained().await;
    first.stop().await.unwrap();
    world.publish(&numbers(1_000..1_500)).await;
    world.drained().await;
    second.stop().await.unwrap();
    world.assert_counted(1_500);
}

async fn what_cannot_be_decoded_goes_to_the_dead_letters(world: World) {
    let running = world.start();
    world.publish(&[("even", "0".to_owned()), ("odd", "x".to_owned()), ("odd", "1".to_owned())]).await;
    world.drained().await;
    running.stop().await.unwrap();
    world.assert_counted(2);
    let bounds = world.log.bounds(&[&format!("{}.dlq", world.name)]).await.unwrap();
    assert_eq!(bounds.values().map(|range| range.end - range.start).sum::<u64>(), 1);
}

macro_rules! on_both_logs {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    super::$name(super::World::embedded().await).await;
                }
            )+
        }

        mod kafka_server {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                #[ignore = "needs a Kafka server, which KAFKA_URL names: `make test-servers`"]
                async fn $name() {
                    super::$name(super::World::kafka().await).await;
                }
            )+
        }
    };
}

on_both_logs!(
    killed_and_started_again_it_counts_every_record_once,
    two_members_share_the_partitions_and_count_every_record_once,
    what_cannot_be_decoded_goes_to_the_dead_letters,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_embedded_log_is_read_from_its_beginning_with_the_state_kept() {
    let mut world = World::embedded().await;
    let running = world.start();
    world.publish(&numbers(0..100)).await;
    world.drained().await;
    running.stop().await.unwrap();
    let url = format!("sqlite:{}", world.folder.path().join("second.db").display());
    world.log = event_log::open(&url).await.unwrap();
    world.create_topics().await;
    world.publish(&numbers(90..300)).await;
    let running = world.start();
    world.drained().await;
    running.stop().await.unwrap();
    world.assert_counted(300);
}
