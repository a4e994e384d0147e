//! Fault 18: hosts whose clocks are an hour off.

use std::{process::Command, time::Duration};

use anyhow::{Context, bail};
use event_log::DEAD_LETTER_SUFFIX;

use crate::{
    Outcome,
    checker::{logged, read_topic},
    process::{Program, built, metric, wait_until},
    scene::{Scene, TICKS, World, end, ready},
    shim::preload,
};

/// A minute less than the hour by which a broker takes a record to come from the future, and refuses it.
const NEARLY_AN_HOUR: i64 = 3_540;
/// So many of a producer's are refused before it ends.
const ENOUGH: f64 = 1_000.0;
const PATIENCE: Duration = Duration::from_mins(1);
const MARKET: [(&str, &str); 3] =
    [("PROVIDER", "simulated"), ("SIMULATED_RATE", "500"), ("WATCHLIST", "AAPL,BTC/USDT")];
const PUBLISHED: &str = topics::names::figure::TICKS_PUBLISHED;
const DEAD_LETTERS: &str = topics::names::figure::DEAD_LETTERS;
/// What the consumer says, and names.
const CLOCK_IS_NAMED: &str = "is the clock of this host or of";
const WAY_BACK: &str = "tapedeck topics redeliver";
/// It says so now and then, not with every batch.
const MOST_WORDS: usize = 40;

/// Fault 18.
pub(super) async fn an_hour_apart(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set(world, 18, 0).await?;

    // A producer from the future: what it publishes is in no bar and on no chart, and not lost either.
    let (right, address) = scene.consumer().await?;
    let (producer, producer_address) = service(&mut scene, "producer", NEARLY_AN_HOUR, &MARKET).await?;
    wait_until("ticks from the future are refused", PATIENCE, async || {
        Ok(metric(&address, DEAD_LETTERS).await.is_some_and(|refused| refused >= ENOUGH))
    })
    .await?;
    let published = metric(&producer_address, PUBLISHED).await.context("the producer does not answer")?;
    end([producer]).await?;
    scene.settled().await?;
    is_named(&right, "a producer is ahead", &mut outcome);
    end([right]).await?;
    let from_the_future = letters(&scene).await?;
    outcome.note(format!("a producer ahead: {from_the_future} of its ticks are dead letters"));
    outcome.check(from_the_future as f64 >= published, format!("of {published} ticks that it published"));

    // A consumer from the past, to which everything seems to come from the future.
    let (past, _) = service(&mut scene, "consumer", -NEARLY_AN_HOUR, &[]).await?;
    let load = scene.load(world.numbers.ticks / 2, world.numbers.rate)?;
    scene.loaded(load).await?;
    scene.settled().await?;
    is_named(&past, "the consumer is behind", &mut outcome);
    end([past]).await?;
    let refused = letters(&scene).await? - from_the_future;
    outcome.note(format!("a consumer behind: {refused} more"));
    outcome
        .check(refused >= world.numbers.ticks / 2, "the consumer's clock was right, so nothing was tested");

    // One from the future takes the rest; and once a clock is right, the dead letters are sent again, twice.
    let (future, _) = service(&mut scene, "consumer", NEARLY_AN_HOUR, &[]).await?;
    let load = scene.load(world.numbers.ticks, world.numbers.rate)?;
    scene.loaded(load).await?;
    scene.settled().await?;
    end([future]).await?;
    let (right, _) = scene.consumer().await?;
    for _ in 0..2 {
        let said = redeliver(&scene)?;
        outcome.note(said.trim().replace('\n', "; "));
    }
    scene.settled().await?;
    end([right]).await?;
    scene.check_ticks(&mut outcome).await?;
    let (in_log, _) = logged(&*scene.log, "simulated").await?;
    outcome.check(in_log.is_empty(), "ticks from the future are taken for those of today");
    outcome.check(
        letters(&scene).await? == from_the_future + refused,
        "what was sent again became dead letters again",
    );
    Ok(outcome)
}

/// A service on a host whose clock is so far ahead.
async fn service(
    scene: &mut Scene<'_>,
    name: &str,
    ahead: i64,
    more: &[(&str, &str)],
) -> anyhow::Result<(Program, String)> {
    let clock = preload(&scene.folder, "clock", ("CLOCK_AHEAD_SECONDS", ahead))?;
    let clock = clock.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let env: Vec<(&str, &str)> = more.iter().copied().chain(clock).collect();
    let (mut program, address) = scene.service(name, &env)?;
    ready(&mut program, &address).await?;
    Ok((program, address))
}

fn is_named(consumer: &Program, who: &str, outcome: &mut Outcome) {
    let words = consumer.times_said(CLOCK_IS_NAMED);
    outcome.check(words > 0, format!("{who}: the consumer names no clock"));
    outcome.check(words <= MOST_WORDS, format!("{who}: the consumer said so {words} times"));
    outcome.check(consumer.times_said(WAY_BACK) > 0, format!("{who}: nobody says what to do about it"));
}

/// How many dead letters there are.
async fn letters(scene: &Scene<'_>) -> anyhow::Result<u64> {
    let mut count = 0;
    for topic in TICKS {
        count += read_topic(&*scene.log, &format!("{topic}{DEAD_LETTER_SUFFIX}")).await?.len() as u64;
    }
    Ok(count)
}

fn redeliver(scene: &Scene<'_>) -> anyhow::Result<String> {
    let args = ["topics", "--log", &scene.log_url, "redeliver"];
    let output = Command::new(built("tapedeck")?).args(args).output()?;
    if !output.status.success() {
        bail!("tapedeck topics redeliver: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
