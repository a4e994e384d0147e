//! Faults 5 and 6: the store's server hangs and is killed; its replies are lost.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use event_log::{EventLog, TopicPartition};
use rustix::process::Signal;
use tokio::time::Instant;

use super::consumers::note_memory;
use crate::{
    Outcome,
    checker::Stored,
    numbers::Numbers,
    process::{free_port, metric, wait_until},
    proxy::Proxy,
    scene::{GROUP, Scene, StoreKind, TICKS, World, end, mongo_url, ready},
};

/// Time after the start at which a minute of the ticks ends in fault 5, during the outage.
const MINUTE_ENDS_AFTER_MS: u64 = 12_000;
/// How long the commit of ticks may take that were acknowledged before the outage.
const LAST_COMMIT_MS: u64 = 1_500;
/// Interval of the checks of the committed offsets.
const CHECK_INTERVAL_MS: u64 = 200;
/// How long the outage continues after the kill, in seconds.
const KILLED_SECONDS: u64 = 2;
/// In fault 6 one in this number of replies is lost.
const LOST_REPLY_EVERY: u64 = 50;
/// How long the first ticks may take to be stored.
const PATIENCE: Duration = Duration::from_mins(1);
const STORED: &str = topics::names::figure::TICKS_STORED;

/// Fault 5.
pub(super) async fn outage(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set_with(world, 5, 0, StoreKind::MongodbOnDisk).await?;
    let (mut consumer, address) = scene.consumer().await?;
    let load = scene.load_over_a_minute(ticks(world.numbers), world.numbers.rate, MINUTE_ENDS_AFTER_MS)?;
    wait_until("ticks are stored", PATIENCE, async || {
        consumer.check_running()?;
        Ok(metric(&address, STORED).await.is_some_and(|stored| stored > 5_000.0))
    })
    .await?;

    world.mongo_on_disk.pause()?;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_millis(LAST_COMMIT_MS)).await; // the fault itself
    let at_rest = committed(&*scene.log).await?;
    let mut checks = 0;
    while begun.elapsed() < Duration::from_secs(world.numbers.outage_seconds + KILLED_SECONDS) {
        if begun.elapsed() >= Duration::from_secs(world.numbers.outage_seconds) {
            // It may have been killed already.
            let _ = world.mongo_on_disk.kill_9();
        }
        consumer.check_running()?;
        let now = committed(&*scene.log).await?;
        if now != at_rest {
            outcome
                .problems
                .push(format!("offsets were committed during the outage: {at_rest:?} to {now:?}"));
            break;
        }
        checks += 1;
        tokio::time::sleep(Duration::from_millis(CHECK_INTERVAL_MS)).await; // between two checks
    }
    outcome.note(format!(
        "hung {} s, then killed: committed offsets checked {checks} times, unchanged",
        world.numbers.outage_seconds
    ));
    let (assigned, revoked) =
        (consumer.occurrences("\"message\":\"assigned\""), consumer.occurrences("\"message\":\"revoked\""));
    // One assignment in each of its two groups, those of ticks and of quoted candles.
    outcome.check(
        (assigned, revoked) == (2, 0),
        format!("the consumer lost its partitions: {assigned} assignments, {revoked} revocations"),
    );

    // The consumer is paused, so that the store has only what it had when it was killed.
    consumer.signal(Signal::STOP)?;
    world.mongo_on_disk.start().await?;
    let stored = Stored::read(&*scene.store().await?, &scene.plan).await?;
    for (partition, position) in &at_rest {
        let held = TICKS.iter().find(|topic| **topic == &*partition.topic).and_then(|topic| {
            let offsets = stored.offsets.get(&(*topic, partition.partition))?;
            Some((0..*position).filter(|offset| offsets.contains(*offset)).count() as u64)
        });
        outcome.check(
            held.unwrap_or(0) == *position,
            format!("{partition}: committed up to {position}, of which {} are stored", held.unwrap_or(0)),
        );
    }
    consumer.signal(Signal::CONT)?;
    let back = Instant::now();
    scene.loaded(load).await?;
    scene.settled().await?;
    outcome.note(format!("lag 0 within {:.1} s of the store's restart", back.elapsed().as_secs_f64()));
    note_memory(&mut outcome, consumer.peak_mb());
    end([consumer]).await?;
    scene.check(&mut outcome).await?;
    Ok(outcome)
}

/// Number of ticks that last until the store is available again. Not more, as this store scans all documents for each page.
fn ticks(numbers: Numbers) -> u64 {
    u64::from(numbers.rate) * numbers.outage_seconds * 3 / 2
}

/// Committed offset of the group on each partition of ticks.
async fn committed(log: &dyn EventLog) -> anyhow::Result<BTreeMap<TopicPartition, u64>> {
    let lags = log.lag(GROUP, &TICKS).await.context("no response of the broker")?;
    Ok(lags.into_iter().map(|lag| (lag.topic_partition, lag.committed.unwrap_or(0))).collect())
}

/// Fault 6.
pub(super) async fn lost_replies(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set_with(world, 6, 0, StoreKind::Mongodb).await?;
    let port = free_port()?;
    let proxy = Proxy::start(port, world.mongo_port, Some(LOST_REPLY_EVERY)).await?;
    // A timeout of three seconds instead of half a minute, and small batches, for many lost replies.
    scene.store_url = format!("{}&socketTimeoutMS=3000", mongo_url(port));
    let (mut consumer, address) = scene.service("consumer", &[("CONSUMER_BATCH_MAX_MESSAGES", "200")])?;
    ready(&mut consumer, &address).await?;
    let load = scene.load(world.numbers.ticks, world.numbers.rate)?;
    scene.loaded(load).await?;
    let settled = scene.settled().await?;
    let lost = proxy.lost();
    outcome.note(format!("{lost} replies lost, alternately with and without their connection"));
    outcome.check(lost >= 4, "too few replies were lost, so nothing was tested");
    outcome.note(format!("lag 0 after {:.1} s", settled.as_secs_f64()));
    note_memory(&mut outcome, consumer.peak_mb());
    end([consumer]).await?;
    scene.check(&mut outcome).await?;
    Ok(outcome)
}
