//! A market invented here, marked SIMULATED wherever its prices appear.

mod market;

use std::time::Duration;

use ::market::{Source, Tick, is_open};
use anyhow::Context;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use topics::names::component;

use self::market::Market;
use super::{Abilities, Feed, FeedContext, Prices};
use crate::{publish::Outlet, tails};

/// Ticks are made in bursts, so far apart: at high rates often, at low ones so seldom that an idle market costs nothing.
const BURST_INTERVAL_MS: u64 = 5;
const SLOW_BURST_INTERVAL_MS: u64 = 200;
/// From so many ticks a second on a rate is high.
const HIGH_RATE: u32 = 1_000;
/// Ticks of one burst; what a slow log leaves undone beyond that is not caught up.
const MAX_BURST: f64 = 20_000.0;
/// History, in minutes.
const HISTORY_MINUTES: i64 = 24 * 60;

pub(crate) static FEED: Feed = Feed {
    name: "simulated",
    task: component::SIMULATED_FEED,
    summary: "A market invented here",
    prices: Prices::Simulated,
    abilities: Abilities {
        delivery: "made here, at a set rate",
        volume: "of each tick; running total",
        history: "none",
        repair: "none",
        budget: "none",
    },
    ask: None,
    probe: None,
    daily: None,
    check: None,
    has_ledger: false,
    run: |context| Box::pin(run(context)),
};

/// The settings of the simulated market.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulatedArgs {
    /// simulated: ticks a second, all symbols together.
    #[arg(id = "simulated-rate", long, env = "SIMULATED_RATE", default_value_t = 20, value_name = "TICKS_PER_SECOND",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// simulated: the same seed makes the same market.
    #[arg(id = "simulated-seed", long, env = "SIMULATED_SEED", default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// simulated: whether stocks trade in the exchange's hours only.
    #[arg(id = "simulated-sessions", long, env = "SIMULATED_SESSIONS", value_enum, default_value_t = Sessions::AlwaysOpen)]
    pub sessions: Sessions,
}

/// When the simulated stocks trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sessions {
    /// Around the clock.
    AlwaysOpen,
    /// In the exchange's hours.
    Respect,
}

/// Fills in the history, then makes ticks until the shutdown.
async fn run(context: FeedContext) -> anyhow::Result<()> {
    let FeedContext {
        config, symbols, simulated_because, is_only_kind, log, outlet, health, shutdown, ..
    } = context;
    let settings = config.simulated;
    let source = Source::parse("simulated").context("the name of the simulated source")?;
    let tails = tails::read(&*log, source).await.context("cannot see where the last run ended")?;
    let now = Utc::now();
    let history_from = floor_minute(now) - TimeDelta::minutes(HISTORY_MINUTES);
    let mut market = Market::new(&symbols, settings.seed, source, history_from)
        .context("the simulated market cannot be made")?;
    market.above(tails.highest_seq);
    for tick in &tails.newest {
        market.go_on_from(tick);
    }
    // Beside real prices no past is invented.
    if is_only_kind {
        outlet.send_candles(&history(&mut market, history_from, now)).await?;
    }
    let because = simulated_because.map(|reason| format!("{}{reason}", component::SIMULATED_BECAUSE));
    health.up(&format!(
        "{} symbols, {} ticks a second, SIMULATED{}",
        symbols.len(),
        settings.rate,
        because.unwrap_or_default()
    ));
    make_ticks(&mut market, &settings, &outlet, &shutdown).await
}

fn floor_minute(time: DateTime<Utc>) -> DateTime<Utc> {
    ::market::Interval::Minute.floor(time)
}

/// One-minute candles up to now: a day of them, or what has passed since the last tick of an earlier run. Minute by minute,
/// so that the symbols move together.
fn history(market: &mut Market, from: DateTime<Utc>, now: DateTime<Utc>) -> Vec<::market::Candle> {
    // The minute of the last tick of an earlier run has a candle of its own.
    let begins: Vec<DateTime<Utc>> = (0..market.len())
        .filter_map(|place| market.moved_at(place))
        .map(|moved_at| if moved_at <= from { from } else { floor_minute(moved_at) + TimeDelta::minutes(1) })
        .collect();
    let mut candles = Vec::new();
    let mut time = from;
    while time + TimeDelta::minutes(1) <= now {
        for (place, begin) in begins.iter().enumerate() {
            if time >= *begin {
                candles.extend(market.candle(place, time));
            }
        }
        time += TimeDelta::minutes(1);
    }
    candles
}

async fn make_ticks(
    market: &mut Market,
    settings: &SimulatedArgs,
    outlet: &Outlet,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let interval_ms = if settings.rate < HIGH_RATE { SLOW_BURST_INTERVAL_MS } else { BURST_INTERVAL_MS };
    let mut burst = tokio::time::interval(Duration::from_millis(interval_ms));
    burst.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut last = tokio::time::Instant::now();
    let (mut owed, mut place) = (0.0_f64, 0);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            _ = burst.tick() => {}
        }
        let elapsed = last.elapsed();
        last += elapsed;
        owed = (owed + elapsed.as_secs_f64() * f64::from(settings.rate)).min(MAX_BURST);
        let now = Utc::now().trunc_subsecs(6);
        let due = owed as i32;
        owed -= f64::from(due);
        let mut ticks: Vec<Tick> = Vec::with_capacity(due.unsigned_abs() as usize);
        // Spread over the time since the last burst, as they would have come.
        let since = TimeDelta::from_std(elapsed).unwrap_or_default();
        for n in 1..=due {
            place = (place + 1) % market.len().max(1);
            let at = (now - since + since / due * n).trunc_subsecs(6);
            let trades = settings.sessions == Sessions::AlwaysOpen
                || market.symbol(place).is_some_and(|symbol| is_open(symbol.asset_class(), at));
            if trades && let Some(tick) = market.tick(place, at, now) {
                ticks.push(tick.context("the simulated market made an impossible tick")?);
            }
        }
        tokio::select! {
            biased;
            sent = outlet.send(&ticks) => sent?,
            () = shutdown.cancelled() => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
