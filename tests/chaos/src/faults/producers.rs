//! Fault 3: producers that are killed.

use super::random_wait;
use crate::{
    Outcome,
    scene::{Scene, World, end},
};

/// Fault 3.
pub(super) async fn kills(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set(world, 3, 0).await?;
    let (consumer, _) = scene.consumer().await?;
    // At a higher rate, so that batches are in flight at any time; the kills are distributed over the whole load.
    let rate = world.numbers.rate.saturating_mul(2);
    let all_ms = world.numbers.ticks * 1_000 / u64::from(rate.max(1));
    let within_ms = all_ms / u64::from(world.numbers.kills.max(1));
    let mut kills = 0;
    for _ in 0..world.numbers.kills {
        let load = scene.load(world.numbers.ticks, rate)?;
        random_wait(&mut scene.rng, within_ms).await;
        load.kill_9()?;
        kills += 1;
    }
    let load = scene.load(world.numbers.ticks, rate)?;
    scene.loaded(load).await?;
    let settled = scene.settled().await?;
    end([consumer]).await?;
    outcome.note(format!("{kills} kills"));
    outcome.note(format!("lag 0 after {:.1} s", settled.as_secs_f64()));
    scene.check(&mut outcome).await?;
    Ok(outcome)
}
