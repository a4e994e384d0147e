//! Fault 4: outages of the broker: killed, hanging, or behind a network that drops all packets or closes connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use anyhow::Context;
use market::Symbol;
use tokio::time::Instant;

use super::consumers::note_memory;
use crate::{
    Outcome,
    checker::{logged, stored_of},
    numbers::RESUME_SECONDS,
    process::{Program, get, metric, wait_until},
    proxy::{Mode, Proxy},
    scene::{Scene, World, end, ready},
    venue::Venue,
};

/// Ticks per second of the simulated market.
const SIMULATED_RATE: &str = "500";
/// Trades per second of the venue.
const VENUE_RATE: u32 = 1_000;
/// Limit of buffered ticks in the venue's producer, so low that it must drop some during an outage.
const VENUE_BUFFER: &str = "queue.buffering.max.messages=2000";
/// How long a metric may take to reach its final value.
const FINAL_SECONDS: u64 = 30;
/// How long a service may take to continue: above the guarantee, so that the time is measured even if it is violated.
const PATIENCE_SECONDS: u64 = 60;

const PUBLISHED: &str = topics::names::figure::TICKS_PUBLISHED;
const RECEIVED: &str = topics::names::figure::TICKS_RECEIVED;
const DROPPED: &str = topics::names::figure::TICKS_DROPPED;
const STORED: &str = topics::names::figure::TICKS_STORED;

/// Kind of an outage.
#[derive(Clone, Copy, Debug)]
enum Outage {
    Killed,
    Hangs,
    NetworkDrops,
    NetworkCloses,
}

/// The services, each with its address.
struct Services {
    simulated: (Program, String),
    venues: (Program, String),
    consumer: (Program, String),
    web: (Program, String),
}

/// Fault 4.
pub(super) async fn outages(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set(world, 4, 0).await?;
    let proxy = scene.proxy_broker().await?;
    let venue = Venue::open(VENUE_RATE).await?;
    let mut services = start(&mut scene, &venue).await?;
    let load = scene.load(world.numbers.ticks, world.numbers.rate)?;

    let seconds = world.numbers.outage_seconds;
    let mut outages = vec![
        (Outage::Killed, seconds),
        (Outage::Hangs, seconds / 2),
        (Outage::NetworkDrops, seconds / 2),
        (Outage::NetworkCloses, seconds / 2),
    ];
    if world.numbers.long_outage_seconds > 0 {
        outages.push((Outage::Killed, world.numbers.long_outage_seconds));
    }
    for (outage, seconds) in outages {
        wait_for_progress(&mut services).await.context("before the outage")?;
        cause(world, &proxy, outage, seconds).await?;
        let resumed = wait_for_progress(&mut services).await.with_context(|| format!("{outage:?}"))?;
        outcome.note(format!("{outage:?} {seconds} s: continued after {resumed}"));
        outcome.check(
            resumed.last() <= Duration::from_secs(RESUME_SECONDS),
            format!("{outage:?}: continued only after {resumed}"),
        );
    }
    scene.loaded(load).await?;
    check_trades(&services, &venue, &mut outcome).await?;
    let published = metric(&services.simulated.1, PUBLISHED).await.context("the producer's figures")?;
    let all = [&services.simulated.0, &services.venues.0, &services.consumer.0, &services.web.0];
    note_memory(&mut outcome, all.into_iter().map(Program::peak_mb).max().unwrap_or(0));
    services.web.0.check_running()?;
    end([services.simulated.0, services.venues.0]).await?;
    let settled = scene.settled().await?;
    end([services.consumer.0, services.web.0]).await?;
    outcome.note(format!("lag 0 after {:.1} s", settled.as_secs_f64()));
    compare(&scene, &mut outcome, published).await?;
    Ok(outcome)
}

async fn start(scene: &mut Scene<'_>, venue: &Venue) -> anyhow::Result<Services> {
    let simulated =
        [("PROVIDER", "simulated"), ("SIMULATED_RATE", SIMULATED_RATE), ("WATCHLIST", "AAPL,BTC/USDT")];
    let small_buffer = format!("{}&{VENUE_BUFFER}", scene.log_url);
    let binance = [
        ("PROVIDER", "binance"),
        ("WATCHLIST", Venue::SYMBOL),
        ("BINANCE_REST_URL", &venue.rest_url),
        ("BINANCE_WS_URL", &venue.socket_url),
        ("LOG_URL", &small_buffer),
    ];
    let mut services = Services {
        simulated: scene.service("producer", &simulated)?,
        venues: scene.service("producer", &binance)?,
        consumer: scene.service("consumer", &[])?,
        web: scene.service("web", &[])?,
    };
    let Services { simulated, venues, consumer, web } = &mut services;
    for (program, address) in [simulated, venues, consumer, web] {
        ready(program, address).await?;
    }
    Ok(services)
}

async fn cause(world: &World, proxy: &Proxy, outage: Outage, seconds: u64) -> anyhow::Result<()> {
    match outage {
        Outage::Killed => world.kafka.kill_9()?,
        Outage::Hangs => world.kafka.pause()?,
        Outage::NetworkDrops => proxy.set(Mode::Silent),
        Outage::NetworkCloses => proxy.set(Mode::Cut),
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await; // the fault itself
    match outage {
        Outage::Killed => world.kafka.start().await?,
        Outage::Hangs => world.kafka.resume()?,
        Outage::NetworkDrops | Outage::NetworkCloses => proxy.set(Mode::Pass),
    }
    Ok(())
}

/// Time of each service until its first progress.
#[derive(Default)]
struct Resumed(BTreeMap<&'static str, Duration>);

impl Resumed {
    fn last(&self) -> Duration {
        self.0.values().max().copied().unwrap_or_default()
    }
}

impl fmt::Display for Resumed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<_> =
            self.0.iter().map(|(name, took)| format!("{name} {:.1}", took.as_secs_f64())).collect();
        write!(f, "{:.1} s ({})", self.last().as_secs_f64(), each.join(", "))
    }
}

/// Waits until every service has made progress since the call. Returns the times.
async fn wait_for_progress(services: &mut Services) -> anyhow::Result<Resumed> {
    let Services { simulated, venues, consumer, web } = services;
    let feeds = [
        ("simulated market", simulated.1.clone(), PUBLISHED),
        ("venue", venues.1.clone(), PUBLISHED),
        ("consumer", consumer.1.clone(), STORED),
    ];
    let mut before = Vec::new();
    for (_, address, figure) in &feeds {
        before.push(metric(address, figure).await.with_context(|| format!("no response for {figure}"))?);
    }
    let shown_before = newest_shown(&web.1).await;
    let begun = Instant::now();
    let mut resumed = Resumed::default();
    let limit = Duration::from_secs(PATIENCE_SECONDS);
    let all = wait_until("every service makes progress", limit, async || {
        for program in [&mut simulated.0, &mut venues.0, &mut consumer.0, &mut web.0] {
            program.check_running()?;
        }
        for ((name, address, figure), before) in feeds.iter().zip(&before) {
            if metric(address, figure).await.is_some_and(|now| now > *before) {
                resumed.0.entry(*name).or_insert_with(|| begun.elapsed());
            }
        }
        if newest_shown(&web.1).await > shown_before {
            resumed.0.entry("pages").or_insert_with(|| begun.elapsed());
        }
        Ok(resumed.0.len() > feeds.len())
    });
    all.await.with_context(|| format!("progress so far: {resumed}"))?;
    Ok(resumed)
}

/// Time of the newest price on the pages, as text, which sorts in the order of time.
async fn newest_shown(web: &str) -> Option<String> {
    let (_, body) = get(web, "/v1/quotes?symbols=AAPL,BTC/USDT").await?;
    let response: serde_json::Value = serde_json::from_str(&body).ok()?;
    let times = response["quotes"].as_array()?.iter().filter_map(|quote| quote["timestamp"].as_str());
    times.max().map(str::to_owned)
}

/// Checks that every trade of the venue was published, or dropped and counted.
async fn check_trades(services: &Services, venue: &Venue, outcome: &mut Outcome) -> anyhow::Result<()> {
    venue.pause();
    let address = &services.venues.1;
    let figure = async |name| metric(address, name).await.context("no response of the venue's producer");
    let sent = venue.trades() as f64;
    let rest = wait_until("all trades are accounted for", Duration::from_secs(FINAL_SECONDS), async || {
        Ok(figure(PUBLISHED).await? + figure(DROPPED).await? >= sent)
    });
    let accounted = rest.await;
    let (received, published, dropped) =
        (figure(RECEIVED).await?, figure(PUBLISHED).await?, figure(DROPPED).await?);
    outcome.note(format!("a venue sent {sent} trades: {published} published, {dropped} dropped and counted"));
    outcome.check(
        accounted.is_ok() && published + dropped <= sent,
        format!("{sent} trades sent, {received} received, {published} published, {dropped} dropped"),
    );
    outcome.check(dropped > 0.0, "no trade was dropped, so counting was not tested");
    outcome.check(venue.connections() == 1, format!("the feed connected {} times", venue.connections()));
    Ok(())
}

/// Compares the store with the ledger, and with the log for the real producers.
async fn compare(scene: &Scene<'_>, outcome: &mut Outcome, published: f64) -> anyhow::Result<()> {
    // Includes candles: idle timers do not run during an outage, so ticks after it are counted in their candles.
    scene.check(outcome).await?;
    let symbols =
        ["AAPL", "BTC/USDT", Venue::SYMBOL].map(Symbol::parse).into_iter().collect::<Result<Vec<_>, _>>()?;
    for source in ["simulated", "binance"] {
        let (in_log, doubled) = logged(&*scene.log, source).await?;
        let in_store = stored_of(&*scene.store().await?, source, &symbols).await?;
        let lost: BTreeSet<_> = in_log.difference(&in_store).collect();
        outcome.note(format!("{source}: {} in the log, {} stored", in_log.len(), in_store.len()));
        outcome.check(lost.is_empty(), format!("{source}: {} ticks of the log are not stored", lost.len()));
        outcome.check(doubled == 0, format!("{source}: {doubled} ticks are in the log twice"));
        outcome.check(
            source != "simulated" || in_store.len() as f64 >= published,
            format!("{source}: {published} acknowledged, {} stored", in_store.len()),
        );
    }
    Ok(())
}
