//! A log, a store and an outbox in a folder, and the service on them.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use accounts::{PasswordHash, User};
use alert_rules::{Alert, AlertRule, Owner, RuleFields, RuleId, RuleKind, UserId, WatchedSymbols};
use alerts::{AlertsConfig, Stores};
use analytics_store::{AlertLogRow, RowQuery};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use event_log::{EventLog, NewRecord, TopicPartition};
use live_store::{AlertQuery, LiveStore};
use mailer::{EmailAddress, MailSettings, Mailer, Outbox, ReadMail};
use market::{Source, Symbol, Tick, TickFields, decimal_from_f64};
use service_runtime::{PublicAddress, Runtime, Status};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use topics::{alert::AlertRecord, status::ComponentState};

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(180);

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    config: AlertsConfig,
    #[command(flatten)]
    public: PublicAddress,
}

pub(crate) struct World {
    folder: TempDir,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: Arc<dyn LiveStore>,
    args: Vec<&'static str>,
    status: Option<Arc<Status>>,
    running: Option<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
}

impl World {
    /// With these flags behind those that keep a test short.
    pub(crate) async fn new(args: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = event_log::open(&url_of(folder.path().join("log.db"))).await.unwrap();
        service_runtime::create_topics(&*log).await.unwrap();
        let store = live_store::open_alone(&url_of(folder.path().join("store.db"))).await.unwrap();
        let base = ["alerts", "--alerts-grouping-seconds", "1", "--alerts-mails-a-day", "1000"];
        Self { folder, log, store, args: [&base[..], args].concat(), status: None, running: None }
    }

    pub(crate) fn start(&mut self) {
        self.start_with(&MailSettings::default().with_outbox(&self.outbox()));
    }

    /// With other settings of mails than the outbox.
    pub(crate) fn start_with(&mut self, mail: &MailSettings) {
        let shutdown = CancellationToken::new();
        let status = Status::new("alerts", "test", Utc::now());
        self.status = Some(Arc::clone(&status));
        let runtime = Runtime { log: Arc::clone(&self.log), status, shutdown: shutdown.clone() };
        let Args { config, public } = Args::parse_from(&self.args);
        let mailer = Mailer::open(mail).unwrap();
        let stores = Stores {
            live: Arc::clone(&self.store),
            mails: Arc::clone(&self.store) as _,
            analytics: url_of(self.analytics()).into(),
        };
        let running = tokio::spawn(alerts::run(config, public, stores, mailer, runtime));
        self.running = Some((shutdown, running));
    }

    /// Other flags from the next start on.
    pub(crate) fn with_args(&mut self, args: &[&'static str]) {
        self.args.truncate(5);
        self.args.extend(args);
    }

    /// A person who has confirmed this address.
    pub(crate) async fn person(&self, address: &str) -> User {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";
        let (address, hash) = (EmailAddress::parse(address).unwrap(), PasswordHash::parse(hash).unwrap());
        let mut user = User::new(address, hash, Utc::now());
        user.confirmed_at = Some(user.created_at);
        assert!(self.store.add_user(&user).await.unwrap());
        user
    }

    /// As Ctrl-C does.
    pub(crate) async fn stop(&mut self) {
        let (shutdown, running) = self.running.take().unwrap();
        shutdown.cancel();
        running.await.unwrap().unwrap();
    }

    /// As `kill -9` does, as far as one process can: everything under way is dropped where it stands.
    pub(crate) async fn kill(&mut self) {
        let (_, running) = self.running.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }

    /// The file of the live store.
    pub(crate) fn live_store(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    /// The file of the analytics store.
    pub(crate) fn analytics(&self) -> PathBuf {
        self.folder.path().join("analytics.db")
    }

    /// The rows of `alert_log`.
    pub(crate) async fn logged(&self) -> Vec<AlertLogRow> {
        let store = analytics_store::open(&url_of(self.analytics())).await.unwrap();
        let rows = store.rows(&RowQuery::newest(None, RowQuery::MAX)).await.unwrap();
        store.close().await.unwrap();
        rows
    }

    /// Waits until the newest version of every alert is logged.
    pub(crate) async fn all_logged(&self) {
        wait_until("every alert is logged", async || self.store.unlogged_alerts(1).await.unwrap().is_empty())
            .await;
    }

    /// What a component of the running service reports; before it is there, that it starts.
    pub(crate) fn component(&self, name: &str) -> (ComponentState, String) {
        let status = self.status.as_ref().unwrap().snapshot(Utc::now());
        let found = status.components.into_iter().find(|component| component.name == name);
        found.map_or((ComponentState::Starting, String::new()), |found| (found.state, found.detail))
    }

    fn outbox(&self) -> PathBuf {
        self.folder.path().join("outbox")
    }

    /// How many mails are in the outbox.
    pub(crate) fn mails(&self) -> usize {
        let Ok(files) = std::fs::read_dir(self.outbox()) else { return 0 };
        let is_mail = |file: &std::fs::DirEntry| file.path().extension().is_some_and(|end| end == "eml");
        files.filter(|file| file.as_ref().is_ok_and(is_mail)).count()
    }

    /// The mails in the outbox, the newest first.
    pub(crate) fn read_mails(&self) -> Vec<ReadMail> {
        let outbox = Outbox::new(self.outbox());
        let entries = outbox.newest(1_000).unwrap();
        entries.iter().map(|entry| outbox.read(&entry.name).unwrap().unwrap()).collect()
    }

    /// Publishes ticks as a live feed does, or as a replay.
    pub(crate) async fn publish(&self, ticks: &[Tick], is_recorded: bool) {
        let publisher = self.log.publisher().unwrap();
        for tick in ticks {
            let mut payload = Vec::new();
            topics::tick::encode(tick, &mut payload);
            let header = (topics::tick::RECORDED_HEADER.to_owned(), Bytes::from_static(b"1"));
            let record = NewRecord {
                key: Some(Bytes::copy_from_slice(tick.symbol.as_str().as_bytes())),
                payload: Bytes::from(payload),
                headers: is_recorded.then_some(header).into_iter().collect(),
                timestamp: Utc::now(),
            };
            let topic = topics::tick::topic_for(tick.asset_class());
            publisher.send(topic, vec![record]).await.unwrap().durable().await.unwrap();
        }
    }

    /// Waits until the group has committed everything.
    pub(crate) async fn drained(&self) {
        wait_until("all ticks are committed", async || {
            let lag = self.log.lag("alerts-group", &alerts::TOPICS).await.unwrap();
            lag.iter().all(|partition| partition.lag == 0)
        })
        .await;
    }

    /// Waits until no delivery is unfinished.
    pub(crate) async fn delivered(&self) {
        wait_until("every delivery is finished", async || {
            self.store.pending_alerts(1).await.unwrap().is_empty()
        })
        .await;
    }

    /// All alerts, the oldest first.
    pub(crate) async fn alerts(&self) -> Vec<Alert> {
        let query = AlertQuery {
            symbol: None,
            owners: Vec::new(),
            from: DateTime::<Utc>::MIN_UTC,
            to: DateTime::<Utc>::MAX_UTC,
            limit: 1_000,
            cursor: None,
        };
        let mut alerts: Vec<Alert> =
            self.store.alerts(&query).await.unwrap().alerts.into_iter().map(|stored| stored.alert).collect();
        alerts.reverse();
        alerts
    }

    /// What was published, by identity and whether it is closed.
    pub(crate) async fn published(&self) -> BTreeMap<(String, bool), AlertRecord> {
        let mut records = BTreeMap::new();
        for partition in 0..3 {
            let partition = TopicPartition { topic: topics::alert::TOPIC.into(), partition };
            for message in self.log.read(&partition, 0, 10_000).await.unwrap() {
                let record = topics::alert::decode(&message.payload).unwrap();
                records.insert((record.id.to_string(), record.closed_at.is_some()), record);
            }
        }
        records
    }
}

pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await; // up to the deadline
    }
}

fn url_of(file: PathBuf) -> String {
    format!("sqlite:{}", file.display())
}

/// A rule of a person.
pub(crate) fn rule(user: &User, id: &str, kind: RuleKind) -> AlertRule {
    AlertRule::new(RuleFields {
        id: RuleId::parse(id).unwrap(),
        owner: Owner::User(UserId::parse(&user.id.to_string()).unwrap()),
        revision: 1,
        symbols: WatchedSymbols::All,
        kind,
        cooldown_minutes: 0,
        is_active: true,
        recipients: vec![user.email.as_str().to_owned()],
    })
    .unwrap()
}

/// The `n`-th tick of a symbol, one a second in the morning of a Tuesday; the open of its session is 100.
pub(crate) fn tick(symbol: &str, n: u64, price: f64) -> Tick {
    let time = "2026-01-13T15:30:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(n as i64);
    let decimal = |number: f64| decimal_from_f64(number).unwrap();
    Tick::new(TickFields {
        symbol: Symbol::parse(symbol).unwrap(),
        timestamp: time,
        price: decimal(price),
        volume: decimal(1_000.0),
        open: decimal(100.0),
        high: decimal(price.max(100.0)),
        low: decimal(price.min(100.0)),
        size: None,
        change_percent: 0.0,
        source: Source::parse("yahoo").unwrap(),
        received_at: time,
        seq: n + 1,
    })
    .unwrap()
}
