//! Faults 5 and 6: the store's server stands still and is killed; its replies are lost.

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

/// When the minute of the ticks ends in fault 5: while the store is away.
const MINUTE_ENDS_AFTER_MS: u64 = 12_000;
/// What the store had acknowledged before it stood still is committed within so long.
const LAST_COMMIT_MS: u64 = 1_500;
/// Between two looks at the group's position.
const LOOK_MS: u64 = 200;
/// How long the killed store stays away.
const KILLED_SECONDS: u64 = 2;
/// Of fault 6: every so many-th.
const LOST_REPLY_EVERY: u64 = 50;
/// How long the first ticks may take to be stored.
const PATIENCE: Duration = Duration::from_mins(1);
const STORED: &str = topics::names::figure::TICKS_STORED;

/// Fault 5.
pub(super) async fn away(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set_with(world, 5, 0, StoreKind::MongodbOnDisk).await?;
    let (mut consumer, address) = scene.consumer().await?;
    let load = scene.load_over_a_minute(ticks(world.numbers), world.numbers.rate, MINUTE_ENDS_AFTER_MS)?;
    wait_until("ticks are stored", PATIENCE, async || {
        consumer.check_running()?;
        Ok(metric(&address, STORED).await.is_some_and(|stored| stored > 5_000.0))
    })
    .await?;

    world.mongo_on_disk.stand_still()?;
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_millis(LAST_COMMIT_MS)).await; // the fault itself
    let at_rest = committed(&*scene.log).await?;
    let mut looks = 0;
    while begun.elapsed() < Duration::from_secs(world.numbers.outage_seconds + KILLED_SECONDS) {
        if begun.elapsed() >= Duration::from_secs(world.numbers.outage_seconds) {
            // It may have been killed before.
            let _ = world.mongo_on_disk.kill_9();
        }
        consumer.check_running()?;
        let now = committed(&*scene.log).await?;
        if now != at_rest {
            outcome
                .problems
                .push(format!("positions moved while nothing could be stored: {at_rest:?} to {now:?}"));
            break;
        }
        looks += 1;
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await; // between two looks
    }
    outcome.note(format!(
        "away {} s, then killed: positions looked at {looks} times, none moved",
        world.numbers.outage_seconds
    ));
    let (assigned, revoked) =
        (consumer.times_said("\"message\":\"assigned\""), consumer.times_said("\"message\":\"revoked\""));
    // Once in each of its two groups, that of the ticks and that of the bars.
    outcome.check(
        (assigned, revoked) == (2, 0),
        format!("the consumer was thrown out of its group: {assigned} assignments, {revoked} revocations"),
    );

    // With the consumer standing still, so that the store holds what it held when it was killed.
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
    outcome.note(format!("lag 0 within {:.1} s of the store's return", back.elapsed().as_secs_f64()));
    note_memory(&mut outcome, consumer.peak_mb());
    end([consumer]).await?;
    scene.check(&mut outcome).await?;
    Ok(outcome)
}

/// As many as go on until the store is back. Not more: this store looks at all it has for each page that is read.
fn ticks(numbers: Numbers) -> u64 {
    u64::from(numbers.rate) * numbers.outage_seconds * 3 / 2
}

/// Where the group is on each partition of ticks.
async fn committed(log: &dyn EventLog) -> anyhow::Result<BTreeMap<TopicPartition, u64>> {
    let lags = log.lag(GROUP, &TICKS).await.context("the broker does not answer")?;
    Ok(lags.into_iter().map(|lag| (lag.topic_partition, lag.committed.unwrap_or(0))).collect())
}

/// Fault 6.
pub(super) async fn replies_are_lost(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set_with(world, 6, 0, StoreKind::Mongodb).await?;
    let port = free_port()?;
    let proxy = Proxy::start(port, world.mongo_port, Some(LOST_REPLY_EVERY)).await?;
    // A reply that was swallowed is given up after three seconds instead of half a minute, and batches are small, so that
    // there are many.
    scene.store_url = format!("{}&socketTimeoutMS=3000", mongo_url(port));
    let (mut consumer, address) = scene.service("consumer", &[("CONSUMER_BATCH_MAX_MESSAGES", "200")])?;
    ready(&mut consumer, &address).await?;
    let load = scene.load(world.numbers.ticks, world.numbers.rate)?;
    scene.loaded(load).await?;
    let settled = scene.settled().await?;
    let lost = proxy.lost();
    outcome.note(format!("{lost} replies lost, cut off or swallowed in turns"));
    outcome.check(lost >= 4, "hardly a reply was lost, so nothing was tested");
    outcome.note(format!("lag 0 after {:.1} s", settled.as_secs_f64()));
    note_memory(&mut outcome, consumer.peak_mb());
    end([consumer]).await?;
    scene.check(&mut outcome).await?;
    Ok(outcome)
}
