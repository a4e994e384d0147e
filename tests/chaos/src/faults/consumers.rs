//! Faults 1 and 2: consumers that are killed, join and leave.

use rand::RngExt;
use tokio::time::{Duration, Instant};

use super::random_wait;
use crate::{
    Outcome,
    numbers::MEMORY_CAP_MB,
    process::Program,
    scene::{Scene, World, end},
};

/// A consumer that is ready claims its partitions within this time.
const CLAIMS: Duration = Duration::from_secs(3);
/// Limit of the random time between a consumer's assignment and its kill.
const KILL_WITHIN_MS: u64 = 1_500;
/// Time after the start at which a minute of the ticks ends, during the first kill of fault 1.
const MINUTE_ENDS_AFTER_MS: u64 = 7_000;
/// Number of consumers in fault 2.
const MEMBERS: usize = 3;

/// Fault 1.
pub(super) async fn kills(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set(world, 1, 0).await?;
    // The first kill is not at a random time: no consumer runs when a minute ends, so that its candle is finished later.
    let begun = Instant::now();
    let load = scene.load_over_a_minute(world.numbers.ticks, world.numbers.rate, MINUTE_ENDS_AFTER_MS)?;
    let (consumer, _) = scene.consumer().await?;
    tokio::time::sleep_until(begun + Duration::from_millis(MINUTE_ENDS_AFTER_MS - 2_000)).await; // the fault
    let mut peak_mb = consumer.peak_mb();
    consumer.kill_9()?;
    tokio::time::sleep_until(begun + Duration::from_millis(MINUTE_ENDS_AFTER_MS + 6_000)).await; // the fault
    for _ in 1..world.numbers.kills {
        let (consumer, _) = scene.consumer().await?;
        random_wait(&mut scene.rng, KILL_WITHIN_MS).await;
        peak_mb = peak_mb.max(consumer.peak_mb());
        consumer.kill_9()?;
    }
    let (consumer, _) = scene.consumer().await?;
    scene.loaded(load).await?;
    let settled = scene.settled().await?;
    peak_mb = peak_mb.max(consumer.peak_mb());
    end([consumer]).await?;
    outcome.note(format!("{} kills", world.numbers.kills));
    outcome.note(format!("lag 0 after {:.1} s", settled.as_secs_f64()));
    note_memory(&mut outcome, peak_mb);
    scene.check(&mut outcome).await?;
    Ok(outcome)
}

/// Fault 2.
pub(super) async fn rebalances(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set(world, 2, 0).await?;
    let load = scene.load(world.numbers.ticks, world.numbers.rate)?;
    let mut members: Vec<Program> = Vec::new();
    for _ in 0..MEMBERS {
        members.push(scene.service("consumer", &[])?.0);
    }
    let (mut killed, mut left, mut peak_mb) = (0, 0, 0);
    let mut next = Instant::now();
    for _ in 0..world.numbers.kills {
        next += Duration::from_secs(world.numbers.rebalance_seconds);
        tokio::time::sleep_until(next).await; // the pace of the fault
        random_wait(&mut scene.rng, KILL_WITHIN_MS).await;
        // Each change moves partitions: one member is killed or leaves in good order, and another one joins.
        let mut member = members.remove(scene.rng.random_range(0..members.len()));
        member.check_running()?;
        peak_mb = peak_mb.max(member.peak_mb());
        if scene.rng.random_bool(0.5) {
            member.kill_9()?;
            killed += 1;
        } else {
            end([member]).await?;
            left += 1;
        }
        members.push(scene.service("consumer", &[])?.0);
    }
    scene.loaded(load).await?;
    let settled = scene.settled().await?;
    peak_mb = members.iter().map(Program::peak_mb).fold(peak_mb, u64::max);
    end(members).await?;
    // If a partition was revoked and not assigned again, its candle in progress is only in the checkpoint; one more consumer
    // writes it.
    let (last, _) = scene.consumer().await?;
    tokio::time::sleep(CLAIMS).await; // the end would come before it has claimed its partitions
    end([last]).await?;
    outcome.note(format!("{killed} kills, {left} left in good order"));
    outcome.note(format!("lag 0 after {:.1} s", settled.as_secs_f64()));
    note_memory(&mut outcome, peak_mb);
    scene.check(&mut outcome).await?;
    Ok(outcome)
}

/// Adds the highest memory of all processes of services to the outcome, and checks it.
pub(super) fn note_memory(outcome: &mut Outcome, peak_mb: u64) {
    outcome.note(format!("at most {peak_mb} MiB"));
    outcome.check(
        peak_mb <= MEMORY_CAP_MB,
        format!("a service used {peak_mb} MiB, the limit is {MEMORY_CAP_MB}"),
    );
}
