//! A log, a store and a producer in a folder of their own.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use clap::Parser;
use event_log::{EventLog, Pages, TopicPartition};
use live_store::LiveStore;
use market::{Candle, Tick};
use producer::{Choice, ProducerConfig};
use service_runtime::{Runtime, Status};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use topics::status::{ComponentState, ComponentStatus};

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    config: ProducerConfig,
}

/// The settings as the command line gives them.
pub(crate) fn config(args: &[&str]) -> ProducerConfig {
    parse(args).unwrap()
}

pub(crate) fn parse(args: &[&str]) -> Result<ProducerConfig, clap::Error> {
    Args::try_parse_from(["producer"].iter().chain(args)).map(|args| args.config)
}

pub(crate) struct World {
    folder: TempDir,
    pub(crate) log: Arc<dyn EventLog>,
    /// Where calls of keys are counted; none unless a test opens one.
    pub(crate) store: Option<Arc<dyn LiveStore>>,
    running: Option<Running>,
}

struct Running {
    runtime: Runtime,
    task: JoinHandle<anyhow::Result<()>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = |file: &str| format!("sqlite:{}", folder.path().join(file).display());
        let log = event_log::open(&url("log.db")).await.unwrap();
        service_runtime::create_topics(&*log).await.unwrap();
        Self { folder, log, store: None, running: None }
    }

    /// The same with a live store.
    pub(crate) async fn with_store() -> Self {
        let mut world = Self::new().await;
        world.reopen_store().await;
        world
    }

    /// Opens the store as a process does that is started again.
    pub(crate) async fn reopen_store(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().await.unwrap();
        }
        let url = format!("sqlite:{}", self.folder.path().join("store.db").display());
        self.store = Some(live_store::open(&url).await.unwrap());
    }

    pub(crate) fn runtime(&self) -> Runtime {
        Runtime {
            log: Arc::clone(&self.log),
            status: Status::new("producer", "test", Utc::now()),
            shutdown: CancellationToken::new(),
        }
    }

    /// A file in this world's folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Starts the producer as its command line does.
    pub(crate) async fn start(&mut self, args: &[&str]) -> Choice {
        let config = config(args);
        let choice = producer::choose(&config).await.unwrap();
        let runtime = self.runtime();
        let task = tokio::spawn(producer::run(config, choice.clone(), self.store.clone(), runtime.clone()));
        self.running = Some(Running { runtime, task });
        choice
    }

    /// As Ctrl-C does.
    pub(crate) async fn stop(&mut self) {
        let Running { runtime, task } = self.running.take().unwrap();
        runtime.shutdown.cancel();
        tokio::time::timeout(DEADLINE, task).await.expect("it stops").unwrap().unwrap();
    }

    pub(crate) fn health(&self, name: &str) -> Option<ComponentStatus> {
        let status = self.running.as_ref().unwrap().runtime.status.snapshot(Utc::now());
        status.components.into_iter().find(|component| component.name == name)
    }

    /// Waits until a part is in this state for a reason that says this; returns the whole reason.
    pub(crate) async fn becomes(&self, name: &str, state: ComponentState, detail: &str) -> String {
        let mut last = None;
        let what = format!("{name} is {state:?}: {detail}");
        wait_until(&what, async || {
            last = self.health(name);
            last.as_ref().is_some_and(|now| now.state == state && now.detail.contains(detail))
        })
        .await;
        last.unwrap().detail
    }

    /// A counter of the running producer, by its name with the label.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let status = self.running.as_ref().unwrap().runtime.status.snapshot(Utc::now());
        *status.figures.get(name).unwrap_or_else(|| panic!("no figure {name} in {:?}", status.figures))
    }

    /// Every record of a topic, partition after partition, each in its order.
    pub(crate) async fn records(&self, topic: &str) -> Vec<bytes::Bytes> {
        let topics = self.log.topics().await.unwrap();
        let info = topics.into_iter().find(|info| info.name == topic).unwrap();
        let mut payloads = Vec::new();
        for (partition, (first, next)) in (0..).zip(info.partitions) {
            let place = TopicPartition { topic: topic.into(), partition };
            let mut pages = Pages::new(&*self.log, place, first..next, 5_000);
            while let Some(messages) = pages.next().await.unwrap() {
                payloads.extend(messages.into_iter().map(|message| message.payload));
            }
        }
        payloads
    }

    /// How many ticks the log holds.
    pub(crate) async fn tick_count(&self) -> u64 {
        let topics = self.log.topics().await.unwrap();
        let prices = [topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES];
        let partitions =
            topics.iter().filter(|topic| prices.contains(&topic.name.as_str())).flat_map(|t| &t.partitions);
        partitions.map(|(first, next)| next - first).sum()
    }

    /// Every tick of the log; those of one symbol in their order.
    pub(crate) async fn ticks(&self) -> Vec<Tick> {
        let now = Utc::now() + TimeDelta::minutes(1);
        let mut payloads = self.records(topics::tick::STOCK_PRICES).await;
        payloads.extend(self.records(topics::tick::CRYPTO_PRICES).await);
        payloads.iter().map(|payload| topics::tick::decode(payload, now).unwrap()).collect()
    }

    /// Every bar of the log; those of one symbol in their order.
    pub(crate) async fn candles(&self) -> Vec<Candle> {
        let payloads = self.records(topics::quoted_candle::TOPIC).await;
        payloads.iter().map(|payload| topics::quoted_candle::decode(payload).unwrap()).collect()
    }
}

pub(crate) async fn wait_until(what: &str, condition: impl AsyncFnMut() -> bool) {
    wait_until_within(DEADLINE, what, condition).await;
}

pub(crate) async fn wait_until_within(
    longest: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let deadline = Instant::now() + longest;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {longest:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await; // up to the deadline
    }
}

/// The address of a port on which no process listens any more.
pub(crate) async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}
