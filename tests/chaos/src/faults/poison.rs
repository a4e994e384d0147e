//! Fault 9: records that cannot be read.

use crate::{
    Outcome,
    scene::{Scene, World, end},
};

/// Every so many-th.
const POISON_EVERY: u64 = 100;

/// Fault 9.
pub(super) async fn one_in_a_hundred(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set(world, 9, POISON_EVERY).await?;
    let (consumer, _) = scene.consumer().await?;
    let load = scene.load(world.numbers.ticks, 0)?;
    scene.loaded(load).await?;
    let settled = scene.settled().await?;
    end([consumer]).await?;
    outcome.note(format!("lag 0 after {:.1} s", settled.as_secs_f64()));
    let (said, letters) = scene.check(&mut outcome).await?;
    outcome.note(format!("{} dead letters with topic, partition, offset and reason", letters.distinct));
    // Nothing was killed, so that nothing is said twice.
    outcome.check(letters.repeated == 0, format!("{} dead letters are there twice", letters.repeated));
    let share = said.acknowledged_len() / POISON_EVERY;
    // The last numbers of the two lanes need not end with a hundred.
    outcome.check(
        letters.distinct.abs_diff(share) <= 2,
        format!(
            "{} dead letters of {} records, about {share} were expected",
            letters.distinct,
            said.acknowledged_len()
        ),
    );
    Ok(outcome)
}
