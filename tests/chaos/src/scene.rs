//! Where a fault happens: a broker and a store with nothing in them, and the programs that are started on them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use event_log::EventLog;
use live_store::LiveStore;
use rand_chacha::ChaCha8Rng;

use crate::{
    Outcome,
    checker::{Stored, lag},
    ledger::Said,
    letters::{DeadLetters, dead_letters},
    load::create_topics,
    numbers::{Numbers, SETTLE_SECONDS},
    plan::Plan,
    process::{Program, Recipe, built, free_address, get, wait_until},
    proxy::Proxy,
    servers::Server,
};

/// The group of the consumers, the services' own.
pub const GROUP: &str = "stock-consumer-group";
/// Topics of ticks.
pub const TICKS: [&str; 2] = [topics::tick::STOCK_PRICES, topics::tick::CRYPTO_PRICES];
/// How long a service may take to start or to leave.
const START_SECONDS: u64 = 40;
/// How long the load program may take beyond the time that its rate asks for.
const LOAD_PATIENCE_SECONDS: u64 = 120;
/// Symbols of the load.
const SYMBOLS: usize = 12;

/// Which store the consumers write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StoreKind {
    /// The embedded one; for one consumer.
    Sqlite,
    /// The server of `tests/servers/mongo.sh`, its data in memory: for faults that leave it alive it is fast enough not to
    /// be what is tested.
    Mongodb,
    /// The same with its data in a file, where a kill leaves it.
    MongodbOnDisk,
}

/// What all faults of a run share.
pub struct World {
    /// How large the faults are.
    pub numbers: Numbers,
    /// Everything random comes from it.
    pub seed: u64,
    /// The broker.
    pub kafka: Server,
    /// Its port.
    pub kafka_port: u16,
    /// Its second listener, which sends clients on to the proxy's port.
    pub kafka_proxied_port: u16,
    /// The proxy's port.
    pub kafka_proxy_port: u16,
    /// The store's server, its data in memory.
    pub mongo: Server,
    /// The same with its data in a file.
    pub mongo_on_disk: Server,
    /// Its port.
    pub mongo_port: u16,
    /// Which store.
    pub store: StoreKind,
    /// Logs and embedded stores, by fault.
    pub folder: PathBuf,
}

/// The place of one fault.
pub struct Scene<'a> {
    /// The run.
    pub world: &'a World,
    /// What is published.
    pub plan: Plan,
    /// Logs and the embedded store.
    pub folder: PathBuf,
    /// The log, seen from here; never through a proxy.
    pub log: Arc<dyn EventLog>,
    /// Of the log, for services.
    pub log_url: String,
    /// Of the store, for services.
    pub store_url: String,
    /// Of the store, for the checker; never through a proxy.
    pub store_url_direct: String,
    /// The random moments of this fault.
    pub rng: ChaCha8Rng,
    starts: u32,
}

impl<'a> Scene<'a> {
    /// Wipes broker and store and starts them. Topic names and groups are fixed in the services, so what an earlier
    /// fault left would be read by this one's; an empty broker takes a few seconds, and makes every count exact.
    ///
    /// # Errors
    /// Servers that cannot be started.
    pub async fn set(world: &'a World, number: u8, poison_every: u64) -> anyhow::Result<Self> {
        Self::set_with(world, number, poison_every, world.store).await
    }

    /// The same on a store that the run did not choose.
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
        // A sign of life three times in a session, at most once a second as the services have it.
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

    /// Puts a proxy between the services started from here on and the broker.
    ///
    /// # Errors
    /// A port that is taken.
    pub async fn proxy_broker(&mut self) -> anyhow::Result<Proxy> {
        let proxy = Proxy::start(self.world.kafka_proxy_port, self.world.kafka_proxied_port, None).await?;
        let direct = format!(":{}", self.world.kafka_port);
        self.log_url = self.log_url.replacen(&direct, &format!(":{}", self.world.kafka_proxy_port), 1);
        Ok(proxy)
    }

    /// The load program, with these numbers.
    ///
    /// # Errors
    /// A program that is not built.
    pub fn load(&mut self, count: u64, rate: u32) -> anyhow::Result<Program> {
        self.load_with(count, rate, Vec::new())
    }

    /// The load program whose ticks' minute ends so many milliseconds after it starts.
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

    /// A service on the log and the store, and where its health answers. It may still be starting.
    ///
    /// # Errors
    /// A program that is not built.
    pub fn service(&mut self, name: &str, env: &[(&str, &str)]) -> anyhow::Result<(Program, String)> {
        let address = free_address()?;
        let mut all =
            vec![("LISTEN".to_owned(), address.clone()), ("STORE_URL".to_owned(), self.store_url.clone())];
        all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Ok((self.start(name, Vec::new(), all)?, address))
    }

    /// A consumer that has partitions, and where its health answers.
    ///
    /// # Errors
    /// One that does not come up.
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
        // A caller's own comes later, and counts.
        env.insert(0, ("LOG_URL".to_owned(), self.log_url.clone()));
        Program::start(&Recipe {
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

    /// What has been acknowledged so far.
    ///
    /// # Errors
    /// A ledger that cannot be read.
    pub fn said(&self) -> anyhow::Result<Said> {
        Said::read(&self.ledger_path())
    }

    /// Waits until the load program has got everything acknowledged.
    ///
    /// # Errors
    /// One that fails, or takes too long.
    pub async fn loaded(&self, mut load: Program) -> anyhow::Result<()> {
        let Numbers { ticks, rate, .. } = self.world.numbers;
        let seconds = ticks.checked_div(u64::from(rate)).unwrap_or(0) + LOAD_PATIENCE_SECONDS;
        let status = load.wait(Duration::from_secs(seconds)).await?;
        if !status.success() {
            bail!("the load program failed: {}", load.last_words());
        }
        Ok(())
    }

    /// Waits until the group has committed everything, and has come as far again since its last checkpoint, where a
    /// consumer that was killed made its successor begin; how long that took.
    ///
    /// # Errors
    /// A lag that stays.
    pub async fn settled(&self) -> anyhow::Result<Duration> {
        let limit = Duration::from_secs(SETTLE_SECONDS);
        // A second process may look into an embedded store.
        let store = self.store().await?;
        let is_settled = async || {
            let Ok(0) = lag(&*self.log, GROUP).await else { return Ok(false) };
            Ok(all_saved(&*self.log, &*store).await.unwrap_or(false))
        };
        wait_until("the lag is zero and everything is saved", limit, is_settled).await
    }

    /// The store, opened here; an embedded one only while no consumer runs.
    ///
    /// # Errors
    /// One that cannot be opened.
    pub async fn store(&self) -> anyhow::Result<Arc<dyn LiveStore>> {
        let mut url = self.store_url_direct.clone();
        if url.starts_with("mongodb:") {
            url.push_str(PATIENCE);
        }
        live_store::open(&url).await.context("the checker cannot open the store")
    }

    /// Compares ticks with the ledger.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn check_ticks(&self, outcome: &mut Outcome) -> anyhow::Result<(Said, Stored)> {
        let said = self.said()?;
        let stored = Stored::read(&*self.store().await?, &self.plan).await?;
        let verdict = stored.verdict(&said);
        outcome.note(verdict.to_string());
        outcome.problems.extend(verdict.problems());
        outcome.check(verdict.acknowledged > 0, "nothing was acknowledged, so nothing was tested");
        Ok((said, stored))
    }

    /// Compares ticks, bars and dead letters with the ledger. The consumers have been stopped in good order.
    ///
    /// # Errors
    /// A store or log that cannot be read.
    pub async fn check(&self, outcome: &mut Outcome) -> anyhow::Result<(Said, DeadLetters)> {
        let (said, stored) = self.check_ticks(outcome).await?;
        let bars = stored.bars(&*self.store().await?).await?;
        outcome.note(format!("{} bars agree with their ticks", bars.right));
        outcome.problems.extend(bars.problems());
        let letters = dead_letters(&*self.log, &self.plan, &said).await?;
        outcome.problems.extend(letters.problems.iter().cloned());
        Ok((said, letters))
    }
}

/// Whether the checkpoint of every partition of ticks has come to its end.
async fn all_saved(log: &dyn EventLog, store: &dyn LiveStore) -> anyhow::Result<bool> {
    let checkpoints = store.checkpoints("consumer").await?;
    let is_saved = |topic: &str, partition: usize, end: u64| {
        let ours =
            checkpoints.iter().find(|known| known.topic == topic && known.partition as usize == partition);
        ours.map_or(0, |known| known.next_offset) >= end
    };
    let topics = log.topics().await?;
    let ticks = topics.iter().filter(|info| TICKS.contains(&info.name.as_str()));
    let mut ends = ticks.flat_map(|info| {
        info.partitions.iter().enumerate().map(move |(place, (_, end))| (info, place, *end))
    });
    Ok(ends.all(|(info, place, end)| is_saved(&info.name, place, end)))
}

/// Settings for whoever reads everything: a server on disk may think about a million ticks for longer than services wait.
const PATIENCE: &str = "&connectTimeoutMS=120000&socketTimeoutMS=120000";

/// The address of a database on the store's server, directly.
pub fn mongo_url(port: u16) -> String {
    format!("mongodb://127.0.0.1:{port}/stock_market?directConnection=true")
}

/// Waits until a service says that it is ready.
///
/// # Errors
/// One that ends or does not come up.
pub async fn ready(program: &mut Program, address: &str) -> anyhow::Result<Duration> {
    let limit = Duration::from_secs(START_SECONDS);
    wait_until("the service is ready", limit, async || {
        program.check_running()?;
        Ok(get(address, "/readyz").await.is_some_and(|(code, _)| code == 200))
    })
    .await
    .with_context(|| program.last_words())
}

/// Ends services in good order, each within a deadline.
///
/// # Errors
/// One that does not end with success.
pub async fn end(programs: impl IntoIterator<Item = Program>) -> anyhow::Result<()> {
    for program in programs {
        program.terminate(Duration::from_secs(START_SECONDS)).await?;
    }
    Ok(())
}
