//! Fault 18: hosts whose clocks are wrong by an hour.

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

/// A minute less than an hour, as brokers refuse records that are more than an hour in the future.
const NEARLY_AN_HOUR: i64 = 3_540;
/// Number of dead letters after which the producer is stopped.
const ENOUGH: f64 = 1_000.0;
const PATIENCE: Duration = Duration::from_mins(1);
const MARKET: [(&str, &str); 3] =
    [("PROVIDER", "simulated"), ("SIMULATED_RATE", "500"), ("WATCHLIST", "AAPL,BTC/USDT")];
const PUBLISHED: &str = topics::names::figure::TICKS_PUBLISHED;
const DEAD_LETTERS: &str = topics::names::figure::DEAD_LETTERS;
/// Text of the consumer's warning about a clock, and its next step.
const CLOCK_WARNING: &str = "is the clock of this host or of";
const NEXT_STEP: &str = "tapedeck topics redeliver";
/// Limit of these warnings, which must not appear for every batch.
const MAX_WARNINGS: usize = 40;

/// Fault 18.
pub(super) async fn an_hour_apart(world: &World) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut scene = Scene::set(world, 18, 0).await?;

    // A producer whose clock is ahead: its ticks are in no candle and on no chart, and not lost either.
    let (right, address) = scene.consumer().await?;
    let (producer, producer_address) = service(&mut scene, "producer", NEARLY_AN_HOUR, &MARKET).await?;
    wait_until("ticks from the future are refused", PATIENCE, async || {
        Ok(metric(&address, DEAD_LETTERS).await.is_some_and(|refused| refused >= ENOUGH))
    })
    .await?;
    let published = metric(&producer_address, PUBLISHED).await.context("no response of the producer")?;
    end([producer]).await?;
    scene.settled().await?;
    check_warnings(&right, "a producer is ahead", &mut outcome);
    end([right]).await?;
    let from_the_future = letters(&scene).await?;
    outcome.note(format!("a producer ahead: {from_the_future} of its ticks are dead letters"));
    outcome.check(
        from_the_future as f64 >= published,
        format!("only {from_the_future} of {published} ticks are dead letters"),
    );

    // A consumer whose clock is behind, for which all ticks are in the future.
    let (past, _) = service(&mut scene, "consumer", -NEARLY_AN_HOUR, &[]).await?;
    let load = scene.load(world.numbers.ticks / 2, world.numbers.rate)?;
    scene.loaded(load).await?;
    scene.settled().await?;
    check_warnings(&past, "the consumer is behind", &mut outcome);
    end([past]).await?;
    let refused = letters(&scene).await? - from_the_future;
    outcome.note(format!("a consumer behind: {refused} more"));
    outcome
        .check(refused >= world.numbers.ticks / 2, "the consumer's clock was right, so nothing was tested");

    // A consumer whose clock is ahead stores the rest; then one with the right clock gets the dead letters, twice.
    let (future, _) = service(&mut scene, "consumer", NEARLY_AN_HOUR, &[]).await?;
    let load = scene.load(world.numbers.ticks, world.numbers.rate)?;
    scene.loaded(load).await?;
    scene.settled().await?;
    end([future]).await?;
    let (right, _) = scene.consumer().await?;
    for _ in 0..2 {
        let report = redeliver(&scene)?;
        outcome.note(report.trim().replace('\n', "; "));
    }
    scene.settled().await?;
    end([right]).await?;
    scene.check_ticks(&mut outcome).await?;
    let (in_log, _) = logged(&*scene.log, "simulated").await?;
    outcome.check(in_log.is_empty(), "ticks from the future were decoded as current ones");
    outcome.check(
        letters(&scene).await? == from_the_future + refused,
        "redelivered ticks became dead letters again",
    );
    Ok(outcome)
}

/// Starts a service on a host whose clock is ahead by this number of seconds.
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

fn check_warnings(consumer: &Program, who: &str, outcome: &mut Outcome) {
    let warnings = consumer.occurrences(CLOCK_WARNING);
    outcome.check(warnings > 0, format!("{who}: the consumer does not warn of a clock"));
    outcome.check(warnings <= MAX_WARNINGS, format!("{who}: the consumer warned {warnings} times"));
    outcome.check(consumer.occurrences(NEXT_STEP) > 0, format!("{who}: the warning has no next step"));
}

/// Number of dead letters.
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
