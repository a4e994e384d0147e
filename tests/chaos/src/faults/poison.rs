//! Fault 9: records that cannot be decoded.

use crate::{
    Outcome,
    scene::{Scene, World, end},
};

/// One in this number of records.
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
    let (ledger, letters) = scene.check(&mut outcome).await?;
    outcome.note(format!("{} dead letters with topic, partition, offset and reason", letters.distinct));
    // Without a kill there are no duplicates.
    outcome.check(letters.repeated == 0, format!("{} dead letters are duplicates", letters.repeated));
    let share = ledger.acknowledged_len() / POISON_EVERY;
    // The last numbers of the two lanes need not be multiples of a hundred.
    outcome.check(
        letters.distinct.abs_diff(share) <= 2,
        format!(
            "{} dead letters of {} records, about {share} were expected",
            letters.distinct,
            ledger.acknowledged_len()
        ),
    );
    Ok(outcome)
}
