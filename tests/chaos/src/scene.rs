//! Environment of a fault: an empty broker, an empty store, and the programs that use them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use event_log::EventLog;
use live_store::LiveStore;
use rand_chacha::ChaCha8Rng;

use crate::{
    Outcome,
    checker::{Stored, lag},
    ledger::LedgerContent,
    letters::{DeadLetters, dead_letters},
    load::create_topics,
    numbers::{Numbers, SETTLE_SECONDS},
    plan::Plan,
    process::{Program, ProgramSpec, built, free_address, get, wait_until},
    proxy::Proxy,
    servers::Server,
};

/// The group of the consumers, as in the services.
pub const GROUP: &str = "stock-consumer-group";
/// Topics of ticks.
pub const TICKS: [&str; 2] = [topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES];
/// How long a service may take to start or to end.
const START_SECONDS: u64 = 40;
/// How long the load program may take in addition to the time at its rate.
const LOAD_PATIENCE_SECONDS: u64 = 120;
/// Symbols of the load.
const SYMBOLS: usize = 12;

/// The live store of the consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// The embedded store, for one consumer.
    Sqlite,
    /// The server of `tests/servers/mongo.sh` with its data in memory, for faults that do not kill it; fast enough not to be the
    /// bottleneck.
    Mongodb,
    /// The same server with its data in a file, which survives a kill.
    MongodbOnDisk,
}

/// Parameters and servers of a run.
pub struct World {
    /// Parameters of the faults.
    pub numbers: Numbers,
    /// Seed of all random generators.
    pub seed: u64,
    /// The broker.
    pub kafka: Server,
    /// Port of the broker.
    pub kafka_port: u16,
    /// Port of its second listener, which advertises the proxy's port.
    pub kafka_proxied_port: u16,
    /// The proxy's port.
    pub kafka_proxy_port: u16,
    /// The store's server with its data in memory.
    pub mongo: Server,
    /// The store's server with its data in a file.
    pub mongo_on_disk: Server,
    /// Port of the store's server.
    pub mongo_port: u16,
    /// The server of the analytics store.
    pub mysql: Server,
    /// Its port.
    pub mysql_port: u16,
    /// The mail server that fails on demand.
    pub smtp: Server,
    /// Its port.
    pub smtp_port: u16,
    /// The server of log lines.
    pub elastic: Server,
    /// Its port.
    pub elastic_port: u16,
    /// The live store, unless a fault chooses another one.
    pub store: StoreKind,
    /// Logs and embedded stores, in one folder for each fault.
    pub folder: PathBuf,
}

/// Environment of one fault.
pub struct Scene<'a> {
    /// The run.
    pub world: &'a World,
    /// The records of the load program.
    pub plan: Plan,
    /// Folder of logs and embedded store.
    pub folder: PathBuf,
    /// The log for the checker, without a proxy.
    pub log: Arc<dyn EventLog>,
    /// URL of the log for services.
    pub log_url: String,
    /// URL of the store for services.
    pub store_url: String,
    /// URL of the store for the checker, without a proxy.
    pub store_url_direct: String,
    /// Random generator of this fault.
    pub rng: ChaCha8Rng,
    starts: u32,
}

impl<'a> Scene<'a> {
    /// Wipes broker and store and starts them. Names of topics and groups are fixed in the services, so records of an earlier
    /// fault would be read again; wiping takes a few seconds and makes every count exact.
    ///
    /// # Errors
    /// Servers that cannot be started.
    pub async fn set(world: &'a World, number: u8, poison_every: u64) -> anyhow::Result<Self> {
        Self::set_with(world, number, poison_every, world.store).await
    }

    /// The same with another store than that of the run.
    ///
    /// # Errors
    /// Servers that cannot be started.
    pub async fn set_with(
        world: &'a World,
        number: u8,
        poison_every: u64,
        store: StoreKind,
    ) -> anyhow::Result<Self> {
        let folder = world.folder.join(format!("fault-{number}"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?; // of an earlier run
        }
        std::fs::create_dir_all(&folder)?;
        world.kafka.wipe().await?;
        world.kafka.start().await?;
        let store_url = match store {
            StoreKind::Sqlite => format!("sqlite:{}", folder.join("store.db").display()),
            StoreKind::Mongodb | StoreKind::MongodbOnDisk => {
                let server = if store == StoreKind::Mongodb { &world.mongo } else { &world.mongo_on_disk };
                server.wipe().await?;
                server.start().await?;
                mongo_url(world.mongo_port)
            }
        };
        let session = world.numbers.session_timeout_ms;
        // Three heartbeats in a session, at most one per second as in the services.
        let settings =
            format!("session.timeout.ms={session}&heartbeat.interval.ms={}", (session / 3).min(1_000));
        let log_url = format!("kafka://127.0.0.1:{}?{settings}", world.kafka_port);
        let log = event_log::open(&log_url).await?;
        create_topics(&*log).await?;
        Ok(Self {
            world,
            plan: Plan::new(&format!("chaos-{number}"), SYMBOLS, poison_every)?,
            folder,
            log,
            log_url,
            store_url_direct: store_url.clone(),
            store_url,
            rng: crate::random(world.seed, number),
            starts: 0,
        })
    }

    /// Puts a proxy between the broker and services that are started later.
    ///
    /// # Errors
    /// A port in use.
    pub async fn proxy_broker(&mut self) -> anyhow::Result<Proxy> {
        let proxy = Proxy::start(self.world.kafka_proxy_port, self.world.kafka_proxied_port, None).await?;
        let direct = format!(":{}", self.world.kafka_port);
        self.log_url = self.log_url.replacen(&direct, &format!(":{}", self.world.kafka_proxy_port), 1);
        Ok(proxy)
    }

    /// Starts the load program with these parameters.
    ///
    /// # Errors
    /// A program that is not built.
    pub fn load(&mut self, count: u64, rate: u32) -> anyhow::Result<Program> {
        self.load_with(count, rate, Vec::new())
    }

    /// Starts the load program such that a minute of its ticks ends this number of milliseconds after the start.
    ///
    /// # Errors
    /// A program that is not built.
    pub fn load_over_a_minute(
        &mut self,
        count: u64,
        rate: u32,
        ends_after_ms: u64,
    ) -> anyhow::Result<Program> {
        self.load_with(count, rate, vec!["--minute-ends-after-ms".to_owned(), ends_after_ms.to_string()])
    }

    fn load_with(&mut self, count: u64, rate: u32, more: Vec<String>) -> anyhow::Result<Program> {
        let args = [
            ("--ledger", self.ledger_path().display().to_string()),
            ("--source", self.plan.source.to_string()),
            ("--symbols", SYMBOLS.to_string()),
            ("--count", count.to_string()),
            ("--rate", rate.to_string()),
            ("--poison-every", self.plan.poison_every.to_string()),
        ];
        let args = args.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).chain(more).collect();
        self.start("load", args, Vec::new())
    }

    /// Starts a service with the log and the store. Returns it with its address; it may not be ready yet.
    ///
    /// # Errors
    /// A program that is not built.
    pub fn service(&mut self, name: &str, env: &[(&str, &str)]) -> anyhow::Result<(Program, String)> {
        self.service_with(name, &[], env)
    }

    /// The same with arguments.
    ///
    /// # Errors
    /// A program that is not built.
    pub fn service_with(
        &mut self,
        name: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> anyhow::Result<(Program, String)> {
        let address = free_address()?;
        let mut all =
            vec![("LISTEN".to_owned(), address.clone()), ("STORE_URL".to_owned(), self.store_url.clone())];
        all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Ok((self.start(name, args, all)?, address))
    }

    /// Starts a consumer and waits until it is ready. Returns it with its address.
    ///
    /// # Errors
    /// A consumer that does not become ready.
    pub async fn consumer(&mut self) -> anyhow::Result<(Program, String)> {
        let (mut program, address) = self.service("consumer", &[])?;
        ready(&mut program, &address).await?;
        Ok((program, address))
    }

    fn start(
        &mut self,
        name: &str,
        args: Vec<String>,
        mut env: Vec<(String, String)>,
    ) -> anyhow::Result<Program> {
        self.starts += 1;
        // A variable of the caller overrides this one.
        env.insert(0, ("LOG_URL".to_owned(), self.log_url.clone()));
        Program::start(&ProgramSpec {
            name: name.to_owned(),
            binary: built(name)?,
            args,
            env,
            output: self.folder.join(format!("{:02}-{name}.log", self.starts)),
        })
    }

    fn ledger_path(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// The content of the ledger.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn ledger_content(&self) -> anyhow::Result<LedgerContent> {
        LedgerContent::read(&self.ledger_path())
    }

    /// Waits until all records of the load program are acknowledged.
    ///
    /// # Errors
    /// A load program that fails or does not end in time.
    pub async fn loaded(&self, mut load: Program) -> anyhow::Result<()> {
        let Numbers { ticks, rate, .. } = self.world.numbers;
        let seconds = ticks.checked_div(u64::from(rate)).unwrap_or(0) + LOAD_PATIENCE_SECONDS;
        let status = load.wait(Duration::from_secs(seconds)).await?;
        if !status.success() {
            bail!("the load program failed: {}", load.last_output());
        }
        Ok(())
    }

    /// Waits until the group has committed all records and all checkpoints have reached the end of their partition. Returns the
    /// time it took.
    ///
    /// # Errors
    /// A lag that remains.
    pub async fn settled(&self) -> anyhow::Result<Duration> {
        let limit = Duration::from_secs(SETTLE_SECONDS);
        // A second process may read an embedded store.
        let store = self.store().await?;
        let is_settled = async || {
            let Ok(0) = lag(&*self.log, GROUP).await else { return Ok(false) };
            Ok(all_saved(&*self.log, &*store).await.unwrap_or(false))
        };
        wait_until("the lag is zero and everything is saved", limit, is_settled).await
    }

    /// Opens the store in this process.
    ///
    /// # Errors
    /// A store that cannot be opened.
    pub async fn store(&self) -> anyhow::Result<Arc<dyn LiveStore>> {
        let mut url = self.store_url_direct.clone();
        if url.starts_with("mongodb:") {
            url.push_str(PATIENCE);
        }
        live_store::open(&url).await.context("the checker cannot open the store")
    }

    /// Compares the stored ticks with the ledger.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn check_ticks(&self, outcome: &mut Outcome) -> anyhow::Result<(LedgerContent, Stored)> {
        let content = self.ledger_content()?;
        let stored = Stored::read(&*self.store().await?, &self.plan).await?;
        let verdict = stored.verdict(&content);
        outcome.note(verdict.to_string());
        outcome.problems.extend(verdict.problems());
        outcome.check(verdict.acknowledged > 0, "nothing was acknowledged, so nothing was tested");
        Ok((content, stored))
    }

    /// Compares ticks, candles and dead letters with the ledger. The consumers must have been stopped in good order.
    ///
    /// # Errors
    /// A store or log that cannot be read.
    pub async fn check(&self, outcome: &mut Outcome) -> anyhow::Result<(LedgerContent, DeadLetters)> {
        let (content, stored) = self.check_ticks(outcome).await?;
        let candles = stored.candles(&*self.store().await?).await?;
        outcome.note(format!("{} candles agree with their ticks", candles.right));
        outcome.problems.extend(candles.problems());
        let letters = dead_letters(&*self.log, &self.plan, &content).await?;
        outcome.problems.extend(letters.problems.iter().cloned());
        Ok((content, letters))
    }
}

/// Whether the checkpoint of every partition of ticks has reached the end of the partition.
async fn all_saved(log: &dyn EventLog, store: &dyn LiveStore) -> anyhow::Result<bool> {
    let checkpoints = store.checkpoints("consumer").await?;
    let is_saved = |topic: &str, partition: usize, end: u64| {
        let checkpoint =
            checkpoints.iter().find(|known| known.topic == topic && known.partition as usize == partition);
        checkpoint.map_or(0, |known| known.next_offset) >= end
    };
    let topics = log.topics().await?;
    let ticks = topics.iter().filter(|info| TICKS.contains(&info.name.as_str()));
    let mut ends = ticks.flat_map(|info| {
        info.partitions.iter().enumerate().map(move |(partition, (_, end))| (info, partition, *end))
    });
    Ok(ends.all(|(info, partition, end)| is_saved(&info.name, partition, end)))
}

/// Timeouts of the checker: a server on disk takes longer for a million ticks than the timeouts of services allow.
const PATIENCE: &str = "&connectTimeoutMS=120000&socketTimeoutMS=120000";

/// URL of the database on the store's server.
pub fn mongo_url(port: u16) -> String {
    format!("mongodb://127.0.0.1:{port}/stock_market?directConnection=true")
}

/// Waits until a service is ready. Returns the time it took.
///
/// # Errors
/// A service that ends or does not become ready.
pub async fn ready(program: &mut Program, address: &str) -> anyhow::Result<Duration> {
    let limit = Duration::from_secs(START_SECONDS);
    wait_until("the service is ready", limit, async || {
        program.check_running()?;
        Ok(get(address, "/readyz").await.is_some_and(|(code, _)| code == 200))
    })
    .await
    .with_context(|| program.last_output())
}

/// Ends services with SIGTERM, each within a time limit.
///
/// # Errors
/// A service that does not end with success.
pub async fn end(programs: impl IntoIterator<Item = Program>) -> anyhow::Result<()> {
    for program in programs {
        program.terminate(Duration::from_secs(START_SECONDS)).await?;
    }
    Ok(())
}
