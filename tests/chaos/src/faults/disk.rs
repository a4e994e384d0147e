//! Faults 7 and 8: a slow disk and a full disk, for the embedded log and store and for the store's server.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use market::Symbol;

use super::random_wait;
use crate::{
    Outcome,
    checker::{logged, stored_of},
    disk::SmallDisk,
    process::{Program, ProgramSpec, built, free_address, get, metric, wait_until},
    scene::{Scene, StoreKind, World, end, ready},
    shim::preload,
};

/// Time of one sync of the slow disk, in milliseconds.
const SLOW_MS: u32 = 50;
/// Size of the disk before and after it is enlarged, in MB.
const SMALL_MB: u32 = 16;
const LARGE_MB: u32 = 2_048;
/// Initial size of the server's disk, in MB: far less than all ticks, as the server compresses them.
const SERVER_MB: u32 = 6;
/// Limit of the load at the server, in seconds, as it reads its data slowly.
const SERVER_SECONDS: u64 = 20;
/// Size limit of an embedded store if no small disk can be mounted, in MB.
const BOUND_MB: u32 = 10;
/// Message of all services on a full disk.
const NO_SPACE: &str = "no space left on the disk";
/// How long the store stays full: longer than the 5 s after which a consumer checks an idle store, whose response does not mean
/// that there is space.
const FULL_FOR: Duration = Duration::from_secs(12);
/// Log line of a consumer for an available store.
const STORE_UP: &str = r#""component":"live store","state":"Up""#;
/// Time limit of the steps of these faults.
const PATIENCE: Duration = Duration::from_mins(1);
/// The symbols.
const WATCHLIST: &str = "AAPL,MSFT,BTC/USDT,ETH/USDT";
const PUBLISHED: &str = topics::names::figure::TICKS_PUBLISHED;
const STORED: &str = topics::names::figure::TICKS_STORED;

/// `tapedeck run` with the simulated market, the embedded log and the embedded store.
struct Embedded {
    data: PathBuf,
    /// URLs of log and store, if they differ from those in the data folder.
    urls: Vec<(String, String)>,
    env: Vec<(String, String)>,
    folder: PathBuf,
    starts: u32,
}

impl Embedded {
    fn new(folder: &Path, data: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { data, urls: Vec::new(), env: Vec::new(), folder: folder.to_owned(), starts: 0 })
    }

    fn start(&mut self, rate: &str) -> anyhow::Result<(Program, String)> {
        self.starts += 1;
        let address = free_address()?;
        let data = self.data.display().to_string();
        let args = [
            "run",
            "--provider",
            "simulated",
            "--watchlist",
            WATCHLIST,
            "--simulated-rate",
            rate,
            "--data",
            &data,
        ];
        let mut env = vec![("LISTEN".to_owned(), address.clone())];
        env.extend(self.env.iter().chain(&self.urls).cloned());
        let program = Program::start(&ProgramSpec {
            name: "tapedeck".to_owned(),
            binary: built("tapedeck")?,
            args: args.map(str::to_owned).to_vec(),
            env,
            output: self.folder.join(format!("embedded-{}.log", self.starts)),
        })?;
        Ok((program, address))
    }

    /// Checks that every tick of the log is stored once. No instance must be running.
    async fn compare(&self, outcome: &mut Outcome, acknowledged: f64) -> anyhow::Result<()> {
        let url = |file: &str| format!("sqlite:{}", self.data.join(file).display());
        let log = event_log::open_for_reading(&url("log.db")).await?;
        let store = live_store::open(&url("store.db")).await?;
        let symbols: Vec<Symbol> = WATCHLIST.split(',').map(Symbol::parse).collect::<Result<_, _>>()?;
        let (in_log, doubled) = logged(&*log, "simulated").await?;
        let in_store = stored_of(&*store, "simulated", &symbols).await?;
        let lost = in_log.difference(&in_store).count();
        outcome.note(format!(
            "{acknowledged} acknowledged, {} in the log, {} stored",
            in_log.len(),
            in_store.len()
        ));
        outcome.check(in_log.len() as f64 >= acknowledged, "acknowledged ticks are not in the log");
        outcome.check(lost == 0, format!("{lost} ticks of the log are not stored"));
        outcome.check(doubled == 0, format!("{doubled} ticks are in the log twice"));
        Ok(())
    }
}

/// Fault 7.
pub(super) async fn slow(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    // A consumer whose embedded store is on the slow disk, which is also killed.
    let mut scene = Scene::set_with(world, 7, 0, StoreKind::Sqlite).await?;
    let slow = preload(&scene.folder, "slow_sync", ("SLOW_SYNC_MS", SLOW_MS.into()))?;
    let env: Vec<(&str, &str)> = slow.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let load = scene.load(world.numbers.ticks, world.numbers.rate)?;
    let (mut consumer, address) = scene.service("consumer", &env)?;
    ready(&mut consumer, &address).await?;
    random_wait(&mut scene.rng, 3_000).await;
    consumer.kill_9()?;
    let (mut consumer, address) = scene.service("consumer", &env)?;
    ready(&mut consumer, &address).await?;
    scene.loaded(load).await?;
    let settled = scene.settled().await?;
    end([consumer]).await?;
    outcome.note(format!("consumer: lag 0 after {:.1} s", settled.as_secs_f64()));
    scene.check(&mut outcome).await?;

    // All services in one process, with log and store on the slow disk.
    let mut embedded = Embedded::new(&scene.folder, scene.folder.join("data"))?;
    embedded.env = slow.to_vec();
    let (mut program, address) = embedded.start("2000")?;
    ready(&mut program, &address).await?;
    reach(&mut program, &address, 5_000.0).await?;
    let acknowledged = metric(&address, PUBLISHED).await.context("no response of tapedeck")?;
    let published_ms =
        median_ms(&address).await.context("tapedeck does not report the latency of publishing")?;
    outcome.note(format!("embedded: {published_ms:.0} ms from the feed to the log (median)"));
    outcome.check(published_ms >= f64::from(SLOW_MS), "the disk was not slow, so nothing was tested");
    program.kill_9()?;
    let (mut program, address) = embedded.start("2000")?;
    ready(&mut program, &address).await?;
    reach(&mut program, &address, 5_000.0).await?;
    let acknowledged = acknowledged + metric(&address, PUBLISHED).await.context("no response of tapedeck")?;
    end([program]).await?;
    embedded.compare(&mut outcome, acknowledged).await?;
    Ok(outcome)
}

/// Median time from the feed until a tick is durable in the log, in milliseconds.
async fn median_ms(address: &str) -> Option<f64> {
    let (_, body) = get(address, "/v1/system").await?;
    let system: serde_json::Value = serde_json::from_str(&body).ok()?;
    let figure =
        |process: &serde_json::Value| process["figures"]["producer/tapedeck_feed_published_p50_ms"].as_f64();
    system["processes"].as_array()?.iter().find_map(figure)
}

/// Waits until this number of ticks is stored.
async fn reach(program: &mut Program, address: &str, ticks: f64) -> anyhow::Result<()> {
    wait_until("ticks are stored", PATIENCE, async || {
        program.check_running()?;
        Ok(metric(address, STORED).await.is_some_and(|stored| stored >= ticks))
    })
    .await?;
    Ok(())
}

/// Fault 8.
pub(super) async fn full(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    full_behind_a_broker(world, &mut outcome).await?;
    full_at_the_server(world, &mut outcome).await?;
    full_embedded(world, &mut outcome).await?;
    Ok(outcome)
}

/// A consumer with a broker whose embedded store is on a full disk: it is not ready, and waits for space.
async fn full_behind_a_broker(world: &World, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut scene = Scene::set_with(world, 8, 0, StoreKind::Sqlite).await?;
    let folder = scene.folder.join("store");
    let url = format!("sqlite:{}", folder.join("store.db").display());
    let disk = small_disk(&folder, outcome)?;
    scene.store_url = if disk.is_some() { url.clone() } else { format!("{url}?max_mb={BOUND_MB}") };
    scene.store_url_direct = url.clone();
    let load = scene.load(world.numbers.ticks, world.numbers.rate)?;
    let (mut consumer, address) = scene.service("consumer", &[])?;
    let is_full = async |consumer: &mut Program, address: &str| {
        consumer.check_running()?;
        let parts = get(address, "/readyz").await;
        Ok(parts.is_some_and(|(code, parts)| code == 503 && parts.contains(NO_SPACE)))
    };
    wait_until("the consumer's disk is full", PATIENCE, async || is_full(&mut consumer, &address).await)
        .await?;
    let up_before = consumer.occurrences(STORE_UP);
    tokio::time::sleep(FULL_FOR).await; // the fault itself
    outcome.check(
        consumer.occurrences(STORE_UP) == up_before && is_full(&mut consumer, &address).await?,
        "the consumer reported a full store as up",
    );
    consumer.kill_9()?;
    if let Some(disk) = &disk {
        disk.fill()?;
    }
    let (mut consumer, mut address) = scene.service("consumer", &[])?;
    // Without any space it may be unable to open its store, and waits for it.
    wait_until("the new consumer reports the full disk", PATIENCE, async || {
        Ok(is_full(&mut consumer, &address).await? || consumer.occurrences(NO_SPACE) > 0)
    })
    .await?;
    if let Some(disk) = &disk {
        disk.grow(LARGE_MB)?;
    } else {
        consumer.kill_9()?;
        scene.store_url = url;
        (consumer, address) = scene.service("consumer", &[])?;
    }
    let waited = ready(&mut consumer, &address).await?;
    outcome.note(format!("consumer: ready {:.1} s after there is space", waited.as_secs_f64()));
    scene.loaded(load).await?;
    scene.settled().await?;
    end([consumer]).await?;
    scene.check(outcome).await?;
    Ok(())
}

/// The same with a store on a server whose disk is full: the server has to be restarted when there is space.
async fn full_at_the_server(world: &World, outcome: &mut Outcome) -> anyhow::Result<()> {
    let mut scene = Scene::set_with(world, 8, 0, StoreKind::MongodbOnDisk).await?;
    let server = &world.mongo_on_disk;
    server.wipe().await?;
    let disk = match SmallDisk::mount(&server.data(), SERVER_MB) {
        Ok(disk) => disk,
        Err(error) => {
            outcome.note(format!("NOT TESTED: no small disk for the store's server here ({error:#})"));
            return Ok(());
        }
    };
    server.start().await?;
    let ticks = world.numbers.ticks.min(u64::from(world.numbers.rate) * SERVER_SECONDS);
    let load = scene.load(ticks, world.numbers.rate)?;
    let (mut consumer, address) = scene.service("consumer", &[])?;
    let mut detail = String::new();
    wait_until("the server's disk is full", PATIENCE, async || {
        consumer.check_running()?;
        let Some((code, parts)) = get(&address, "/readyz").await else { return Ok(false) };
        detail = detail_of("live store", &parts).unwrap_or_default();
        // Possibly before the first tick is stored.
        Ok(code == 503 && detail.contains("unavailable"))
    })
    .await?;
    tokio::time::sleep(FULL_FOR).await; // the fault itself
    consumer.check_running()?;
    outcome.check(detail.contains("mongodb://"), format!("the detail does not name the store: {detail}"));
    // The server may have ended by itself when it could not write.
    let _ = server.kill_9();
    disk.grow(LARGE_MB)?;
    server.start().await?;
    let waited = ready(&mut consumer, &address).await?;
    outcome.note(format!("consumer: ready {:.1} s after the server has space", waited.as_secs_f64()));
    scene.loaded(load).await?;
    scene.settled().await?;
    end([consumer]).await?;
    scene.check(outcome).await?;
    // The server must end before its disk is unmounted.
    server.kill_9()
}

/// The detail of a part of a service.
fn detail_of(name: &str, parts: &str) -> Option<String> {
    let parts: Vec<serde_json::Value> = serde_json::from_str(parts).ok()?;
    let part = parts.iter().find(|part| part["name"] == name)?;
    part["detail"].as_str().map(str::to_owned)
}

/// All services in one process, with log and store on the full disk: they wait for space, and the pages respond.
async fn full_embedded(world: &World, outcome: &mut Outcome) -> anyhow::Result<()> {
    let folder = world.folder.join("fault-8-embedded");
    let data = folder.join("data");
    let mut embedded = Embedded::new(&folder, data.clone())?;
    let disk = small_disk(&data, outcome)?;
    if disk.is_none() {
        let url = |file: &str, bound: &str| format!("sqlite:{}?{bound}", data.join(file).display());
        embedded.urls = vec![
            ("LOG_URL".to_owned(), url("log.db", "max_mb=10")),
            ("STORE_URL".to_owned(), url("store.db", &format!("max_mb={BOUND_MB}"))),
        ];
    }
    let (mut program, address) = embedded.start("5000")?;
    let is_full = async |program: &mut Program| {
        program.check_running()?;
        let parts = get(&address, "/readyz").await;
        Ok(parts.is_some_and(|(code, parts)| {
            code == 503 && detail_of("event log", &parts).is_some_and(|detail| detail.contains(NO_SPACE))
        }))
    };
    wait_until("the embedded log is full", PATIENCE, async || is_full(&mut program).await).await?;
    tokio::time::sleep(FULL_FOR).await; // the fault itself
    outcome.check(is_full(&mut program).await?, "a full embedded log was reported as up");
    let pages = get(&address, "/system").await;
    outcome.check(
        pages.is_some_and(|(code, page)| code == 200 && page.contains(NO_SPACE)),
        "the page of the system did not show the full disk",
    );
    let mut acknowledged = metric(&address, PUBLISHED).await.context("no response of tapedeck")?;
    program.kill_9()?;
    // At the second start the disk is full from the beginning.
    if let Some(disk) = &disk {
        disk.fill()?;
    }
    let (mut program, mut address) = embedded.start("200")?;
    wait_until("the new process reports the full disk", PATIENCE, async || {
        program.check_running()?;
        Ok(program.occurrences(NO_SPACE) > 0)
    })
    .await?;
    if let Some(disk) = &disk {
        disk.grow(LARGE_MB)?;
    } else {
        program.kill_9()?;
        embedded.urls.clear();
        (program, address) = embedded.start("200")?;
    }
    let waited = ready(&mut program, &address).await?;
    outcome.note(format!("embedded: ready {:.1} s after there is space", waited.as_secs_f64()));
    reach(&mut program, &address, 200.0).await?;
    acknowledged += metric(&address, PUBLISHED).await.context("no response of tapedeck")?;
    end([program]).await?;
    embedded.compare(outcome, acknowledged).await
}

/// Mounts a small disk at a folder. `None` if mounting is not permitted; then the files get a size limit, for which SQLite returns
/// the same error.
fn small_disk(folder: &Path, outcome: &mut Outcome) -> anyhow::Result<Option<SmallDisk>> {
    match SmallDisk::mount(folder, SMALL_MB) {
        Ok(disk) => Ok(Some(disk)),
        Err(error) => {
            outcome.note(format!("no small disk here ({error:#}), so the files had a size limit"));
            std::fs::create_dir_all(folder)?;
            Ok(None)
        }
    }
}
