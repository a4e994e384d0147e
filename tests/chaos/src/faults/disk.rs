//! Faults 7 and 8: a disk that is slow, and one that is full; the embedded log and store feel them most.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use market::Symbol;

use super::any_moment;
use crate::{
    Outcome,
    checker::{logged, stored_of},
    disk::SmallDisk,
    process::{Program, Recipe, built, free_address, get, metric, wait_until},
    scene::{Scene, StoreKind, World, end, ready},
    shim::preload,
};

/// What a slow disk takes to make anything durable.
const SLOW_MS: u32 = 50;
/// What a full disk holds before and after room is made.
const SMALL_MB: u32 = 16;
const ROOMY_MB: u32 = 2_048;
/// What the disk of a server holds before: far less than all ticks, as it packs them well.
const SERVER_MB: u32 = 6;
/// The server reads slowly what it holds, so that it gets what comes in so many seconds at most.
const SERVER_SECONDS: u64 = 20;
/// Bound of an embedded store where no small disk can be mounted.
const BOUND_MB: u32 = 10;
/// What everybody says on a full disk.
const NO_SPACE: &str = "no space left on the disk";
/// A store stays full for so long; a consumer asks one that is silent after 5 s, and may not take its answer for room.
const FULL_FOR: Duration = Duration::from_secs(12);
/// What a consumer's log says of a store that works.
const STORE_UP: &str = r#""component":"live store","state":"Up""#;
/// How long a full disk may take to fill, or a service to get somewhere.
const PATIENCE: Duration = Duration::from_mins(1);
/// What is traded.
const WATCHLIST: &str = "AAPL,MSFT,BTC/USDT,ETH/USDT";
const PUBLISHED: &str = topics::names::figure::TICKS_PUBLISHED;
const STORED: &str = topics::names::figure::TICKS_STORED;

/// `tapedeck run`: the simulated market through the embedded log into the embedded store.
struct Embedded {
    data: PathBuf,
    /// URLs where they are not the data folder's own.
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
        let program = Program::start(&Recipe {
            name: "tapedeck".to_owned(),
            binary: built("tapedeck")?,
            args: args.map(str::to_owned).to_vec(),
            env,
            output: self.folder.join(format!("embedded-{}.log", self.starts)),
        })?;
        Ok((program, address))
    }

    /// Everything that is in the log is in the store, once. No instance runs.
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
    // A consumer whose embedded store lies on the slow disk, killed on top of that.
    let mut scene = Scene::set_with(world, 7, 0, StoreKind::Sqlite).await?;
    let slow = preload(&scene.folder, "slow_sync", ("SLOW_SYNC_MS", SLOW_MS.into()))?;
    let env: Vec<(&str, &str)> = slow.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let load = scene.load(world.numbers.ticks, world.numbers.rate)?;
    let (mut consumer, address) = scene.service("consumer", &env)?;
    ready(&mut consumer, &address).await?;
    any_moment(&mut scene.rng, 3_000).await;
    consumer.kill_9()?;
    let (mut consumer, address) = scene.service("consumer", &env)?;
    ready(&mut consumer, &address).await?;
    scene.loaded(load).await?;
    let settled = scene.settled().await?;
    end([consumer]).await?;
    outcome.note(format!("consumer: lag 0 after {:.1} s", settled.as_secs_f64()));
    scene.check(&mut outcome).await?;

    // And everything in one process, log and store on the slow disk.
    let mut embedded = Embedded::new(&scene.folder, scene.folder.join("data"))?;
    embedded.env = slow.to_vec();
    let (mut program, address) = embedded.start("2000")?;
    ready(&mut program, &address).await?;
    reach(&mut program, &address, 5_000.0).await?;
    let acknowledged = metric(&address, PUBLISHED).await.context("tapedeck does not answer")?;
    let published_ms =
        median_ms(&address).await.context("tapedeck does not say how long publishing takes")?;
    outcome.note(format!("embedded: {published_ms:.0} ms from the feed to the log, at the median"));
    outcome.check(published_ms >= f64::from(SLOW_MS), "the disk was not slow, so nothing was tested");
    program.kill_9()?;
    let (mut program, address) = embedded.start("2000")?;
    ready(&mut program, &address).await?;
    reach(&mut program, &address, 5_000.0).await?;
    let acknowledged =
        acknowledged + metric(&address, PUBLISHED).await.context("tapedeck does not answer")?;
    end([program]).await?;
    embedded.compare(&mut outcome, acknowledged).await?;
    Ok(outcome)
}

/// What a tick takes from the feed until it is durable in the log.
async fn median_ms(address: &str) -> Option<f64> {
    let (_, body) = get(address, "/v1/system").await?;
    let system: serde_json::Value = serde_json::from_str(&body).ok()?;
    let figure =
        |process: &serde_json::Value| process["figures"]["producer/tapedeck_feed_published_p50_ms"].as_f64();
    system["processes"].as_array()?.iter().find_map(figure)
}

/// Waits until so many ticks are stored.
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

/// A consumer whose embedded store is on a full disk, while the log is a broker's: it is not ready, and waits for room.
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
    let up_before = consumer.times_said(STORE_UP);
    tokio::time::sleep(FULL_FOR).await; // the fault itself
    outcome.check(
        consumer.times_said(STORE_UP) == up_before && is_full(&mut consumer, &address).await?,
        "the consumer took a full store for one that works",
    );
    consumer.kill_9()?;
    if let Some(disk) = &disk {
        disk.fill()?;
    }
    let (mut consumer, mut address) = scene.service("consumer", &[])?;
    // Without any room it may not even be able to open its store, and waits for it.
    wait_until("the new consumer says that it is full", PATIENCE, async || {
        Ok(is_full(&mut consumer, &address).await? || consumer.times_said(NO_SPACE) > 0)
    })
    .await?;
    if let Some(disk) = &disk {
        disk.grow(ROOMY_MB)?;
    } else {
        consumer.kill_9()?;
        scene.store_url = url;
        (consumer, address) = scene.service("consumer", &[])?;
    }
    let waited = ready(&mut consumer, &address).await?;
    outcome.note(format!("consumer: ready {:.1} s after there is room", waited.as_secs_f64()));
    scene.loaded(load).await?;
    scene.settled().await?;
    end([consumer]).await?;
    scene.check(outcome).await?;
    Ok(())
}

/// The same where the store is a server, and the full disk its own: it has to be started again once there is room.
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
    let mut said = String::new();
    wait_until("the server's disk is full", PATIENCE, async || {
        consumer.check_running()?;
        let Some((code, parts)) = get(&address, "/readyz").await else { return Ok(false) };
        said = detail_of("live store", &parts).unwrap_or_default();
        // It may come to that before a single tick is stored.
        Ok(code == 503 && said.contains("unavailable"))
    })
    .await?;
    tokio::time::sleep(FULL_FOR).await; // the fault itself
    consumer.check_running()?;
    outcome.check(said.contains("mongodb://"), format!("it does not say which store: {said}"));
    // A server like that ends by itself when it cannot write; then there is nothing to kill.
    let _ = server.kill_9();
    disk.grow(ROOMY_MB)?;
    server.start().await?;
    let waited = ready(&mut consumer, &address).await?;
    outcome.note(format!("consumer: ready {:.1} s after the server has room", waited.as_secs_f64()));
    scene.loaded(load).await?;
    scene.settled().await?;
    end([consumer]).await?;
    scene.check(outcome).await?;
    // Nothing of it outlives the disk.
    server.kill_9()
}

/// What a service says of one of its parts.
fn detail_of(name: &str, parts: &str) -> Option<String> {
    let parts: Vec<serde_json::Value> = serde_json::from_str(parts).ok()?;
    let part = parts.iter().find(|part| part["name"] == name)?;
    part["detail"].as_str().map(str::to_owned)
}

/// Everything in one process, log and store on the full disk.
async fn full_embedded(world: &World, outcome: &mut Outcome) -> anyhow::Result<()> {
    let folder = world.folder.join("fault-8-embedded");
    let data = folder.join("data");
    let mut embedded = Embedded::new(&folder, data.clone())?;
    let disk = small_disk(&data, outcome)?;
    if disk.is_none() {
        let url = |file: &str, bound: &str| format!("sqlite:{}?{bound}", data.join(file).display());
        embedded.urls = vec![
            ("LOG_URL".to_owned(), url("log.db", "max_bytes=10000000")),
            ("STORE_URL".to_owned(), url("store.db", &format!("max_mb={BOUND_MB}"))),
        ];
    }
    let mut acknowledged = 0.0;
    // Twice: the second start meets a disk that is full from the beginning.
    for when in ["while it runs", "from the start"] {
        let (mut program, address) = embedded.start("5000")?;
        let mut published = 0.0_f64;
        let ended = wait_until("the full disk ends it", PATIENCE, async || {
            published = metric(&address, PUBLISHED).await.map_or(published, |now| published.max(now));
            Ok(program.check_running().is_err())
        });
        ended.await?;
        acknowledged += published;
        let status = program.wait(PATIENCE).await?;
        let said = program.said();
        outcome.check(
            status.code().is_some_and(|code| code != 0),
            format!("full {when}: it ended with {status}"),
        );
        outcome.check(!said.contains("panicked"), format!("full {when}: it panicked"));
        outcome.check(
            said.contains(NO_SPACE),
            format!("full {when}: it did not say why: {}", program.last_words()),
        );
        outcome.note(format!("embedded, full {when}: exit code {}", status.code().unwrap_or(-1)));
    }
    if let Some(disk) = &disk {
        disk.grow(ROOMY_MB)?;
    }
    embedded.urls.clear();
    let (mut program, address) = embedded.start("200")?;
    ready(&mut program, &address).await?;
    reach(&mut program, &address, 200.0).await?;
    acknowledged += metric(&address, PUBLISHED).await.context("tapedeck does not answer")?;
    end([program]).await?;
    embedded.compare(outcome, acknowledged).await
}

/// A small disk at this folder; none where mounting is not permitted, and then the files are to be bounded: SQLite answers the
/// same.
fn small_disk(folder: &Path, outcome: &mut Outcome) -> anyhow::Result<Option<SmallDisk>> {
    match SmallDisk::mount(folder, SMALL_MB) {
        Ok(disk) => Ok(Some(disk)),
        Err(error) => {
            outcome.note(format!("no small disk here ({error:#}), so the files were bounded"));
            std::fs::create_dir_all(folder)?;
            Ok(None)
        }
    }
}
