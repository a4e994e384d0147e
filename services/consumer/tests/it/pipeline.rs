//! A log, a store and a consumer in a folder of their own.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use consumer::ConsumerConfig;
use event_log::{EventLog, NewRecord};
use live_store::{LiveStore, StoredTick, TickQuery};
use market::{Source, Symbol, Tick, TickFields, parse_decimal};
use service_runtime::{Runtime, Status};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use topics::status::ComponentState;

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    config: ConsumerConfig,
}

pub(crate) struct Pipeline {
    folder: TempDir,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: Arc<dyn LiveStore>,
    running: Option<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
    status: Arc<Status>,
}

impl Pipeline {
    pub(crate) async fn new() -> Self {
        Self::reopen(tempfile::tempdir().unwrap()).await
    }

    /// On what is in the folder.
    pub(crate) async fn reopen(folder: TempDir) -> Self {
        let log = event_log::open(&url(&folder, "log.db")).await.unwrap();
        service_runtime::create_topics(&*log).await.unwrap();
        let store = live_store::open(&url(&folder, "store.db")).await.unwrap();
        let status = Status::new("consumer", "test", Utc::now());
        Self { folder, log, store, running: None, status }
    }

    /// Leaves the folder to others.
    pub(crate) fn close(self) -> TempDir {
        self.folder
    }

    pub(crate) fn url(&self, file: &str) -> String {
        url(&self.folder, file)
    }

    /// A second store, empty.
    pub(crate) async fn empty_store(&self) -> Arc<dyn LiveStore> {
        live_store::open(&url(&self.folder, "other.db")).await.unwrap()
    }

    /// Another log in the place of the one before, with nothing in it.
    pub(crate) async fn another_log(&mut self, file: &str) {
        self.log = event_log::open(&url(&self.folder, file)).await.unwrap();
        service_runtime::create_topics(&*self.log).await.unwrap();
    }

    pub(crate) fn start(&mut self) {
        let shutdown = CancellationToken::new();
        self.status = Status::new("consumer", "test", Utc::now());
        let runtime = Runtime {
            log: Arc::clone(&self.log),
            status: Arc::clone(&self.status),
            shutdown: shutdown.clone(),
        };
        let config = Args::parse_from(["consumer"]).config;
        self.running =
            Some((shutdown, tokio::spawn(consumer::run(config, Arc::clone(&self.store), runtime))));
    }

    /// As Ctrl-C does.
    pub(crate) async fn stop(&mut self) {
        self.stopped().await.unwrap();
    }

    /// The same, and how it ended.
    pub(crate) async fn stopped(&mut self) -> anyhow::Result<()> {
        let (shutdown, running) = self.running.take().unwrap();
        shutdown.cancel();
        running.await.unwrap()
    }

    /// Whether the consumer reports that the store responds.
    pub(crate) fn store_is_up(&self) -> bool {
        let parts = self.status.snapshot(Utc::now()).components;
        parts.iter().any(|part| part.name == "live store" && part.state == ComponentState::Up)
    }

    /// Keeps the store from being written until the answer is dropped, as another process would.
    pub(crate) async fn lock_store(&self) -> SqliteConnection {
        let mut other = SqliteConnection::connect(&url(&self.folder, "store.db")).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        other
    }

    /// As `kill -9` does, as far as one process can: everything under way is dropped where it stands.
    pub(crate) async fn kill(&mut self) {
        let (_, running) = self.running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }

    pub(crate) async fn publish(&self, topic: &str, key: &str, payloads: Vec<Vec<u8>>) {
        let record = |payload| NewRecord {
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            payload: Bytes::from(payload),
            headers: Vec::new(),
            timestamp: Utc::now(),
        };
        let records = payloads.into_iter().map(record).collect();
        self.log.publisher().unwrap().send(topic, records).await.unwrap().durable().await.unwrap();
    }

    pub(crate) async fn publish_ticks(&self, ticks: &[Tick]) {
        for tick in ticks {
            let mut payload = Vec::new();
            topics::tick::encode(tick, &mut payload);
            self.publish(topics::tick::topic_for(tick.asset_class()), tick.symbol.as_str(), vec![payload])
                .await;
        }
    }

    /// Waits until the group has committed everything.
    pub(crate) async fn drained(&self) {
        wait_until("the consumer has committed everything", async || {
            consumer::lag(&*self.log, "stock-consumer-group").await.unwrap() == 0
        })
        .await;
    }

    pub(crate) async fn stored(&self, symbol: &str) -> Vec<StoredTick> {
        let query = TickQuery {
            symbol: Symbol::parse(symbol).unwrap(),
            from: DateTime::UNIX_EPOCH,
            to: Utc::now() + TimeDelta::days(1),
            limit: 10_000,
            cursor: None,
        };
        self.store.ticks(&query).await.unwrap().ticks
    }
}

fn url(folder: &TempDir, file: &str) -> String {
    format!("sqlite:{}", folder.path().join(file).display())
}

pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await; // up to the deadline
    }
}

/// The `n`-th tick of AAPL, one a second from 2026-01-13 15:30:00 UTC, at 100.00 + n cents, volume 1000 + 10 n.
pub(crate) fn tick(n: u64) -> Tick {
    let start: DateTime<Utc> = "2026-01-13T15:30:00Z".parse().unwrap();
    let time = start + TimeDelta::seconds(n as i64);
    let decimal = |text: &str| parse_decimal(text).unwrap();
    Tick::new(TickFields {
        symbol: Symbol::parse("AAPL").unwrap(),
        timestamp: time,
        price: decimal(&format!("{}.{:02}", 100 + n / 100, n % 100)),
        volume: decimal(&(1_000 + 10 * n).to_string()),
        open: decimal("100"),
        high: decimal("200"),
        low: decimal("100"),
        size: None,
        change_percent: 0.5,
        source: Source::parse("yahoo").unwrap(),
        received_at: time,
        seq: n + 1,
    })
    .unwrap()
}
