//! The alert engine alone: ticks of 100 symbols under ten rules each, on one core. Once where no threshold is crossed, once where
//! prices wander across thresholds. Beside it, the least that any engine has to do: one look into a map for each tick, and one
//! comparison for each rule.

use std::{
    collections::HashMap,
    hint::black_box,
    time::{Duration, Instant},
};

use alert_rules::{
    AlertChange, AlertRule, Engine, Owner, PriceEvent, RuleFields, RuleId, RuleKind, RuleSet, UserId,
    WatchedSymbols,
};
use anyhow::Context;
use benches::{print_ratio, rate};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use market::{Source, Symbol, Tick, TickFields, decimal_from_f64};

const SYMBOLS: usize = 100;
/// Of each symbol: two of the house, and those of people.
const LEVELS: usize = 8;

#[derive(Parser)]
struct Args {
    /// Ticks of each measurement.
    #[arg(long, default_value_t = 2_000_000)]
    ticks: usize,
    /// Measurements of each kind; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let rules = rules()?;
    for (name, swing) in [("no threshold is crossed", 0.5), ("prices wander across thresholds", 8.0)] {
        let ticks = ticks(args.ticks, swing)?;
        let mut engine: Vec<Duration> = Vec::new();
        let mut least: Vec<Duration> = Vec::new();
        let mut opened = 0;
        for _ in 0..args.rounds {
            let (took, count) = judge(&rules, &ticks);
            engine.push(took);
            opened = count;
            least.push(compare(&ticks));
        }
        let (engine, least) = (median(engine), median(least));
        println!("{name}: {opened} alerts opened");
        let (count, least) = (ticks.len() as u64, rate(ticks.len() as u64, least));
        print_ratio(
            "  alert engine, 10 rules a symbol",
            rate(count, engine),
            "map and comparisons alone",
            least,
        );
    }
    Ok(())
}

fn median(mut durations: Vec<Duration>) -> Duration {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied().unwrap_or_default()
}

fn judge(rules: &RuleSet, ticks: &[Tick]) -> (Duration, usize) {
    let (mut engine, mut changes, mut opened) = (Engine::default(), Vec::new(), 0);
    let begun = Instant::now();
    for tick in ticks {
        engine.apply(rules, &PriceEvent { tick: *tick, is_recorded: false }, None, &mut changes);
        opened += changes.drain(..).filter(|change| matches!(change, AlertChange::Opened(_))).count();
    }
    (begun.elapsed(), opened)
}

/// What cannot be left out.
fn compare(ticks: &[Tick]) -> Duration {
    let mut states: HashMap<Symbol, [f64; LEVELS + 2]> = HashMap::new();
    let mut reached = 0_u64;
    let begun = Instant::now();
    for tick in ticks {
        let levels = states.entry(tick.symbol).or_insert([1e9; LEVELS + 2]);
        let change = tick.price_change_pct();
        reached += levels.iter().filter(|level| change >= **level).count() as u64;
    }
    black_box(reached);
    begun.elapsed()
}

fn symbol(index: usize) -> anyhow::Result<Symbol> {
    Symbol::parse(&format!("S{index:03}")).context("a symbol")
}

fn rules() -> anyhow::Result<RuleSet> {
    let rule = |id: String, owner, symbols, kind| {
        AlertRule::new(RuleFields {
            id: RuleId::parse(&id)?,
            owner,
            revision: 1,
            symbols,
            kind,
            cooldown_minutes: 60,
            is_active: true,
            recipients: Vec::new(),
        })
    };
    let house = [RuleKind::ChangeFromOpen { percent: 5.0 }, RuleKind::VolumeSpike { multiplier: 2.0 }];
    let mut rules = Vec::new();
    for (kind, index) in house.into_iter().zip(0..) {
        rules.push(rule(format!("house-{index}"), Owner::House, WatchedSymbols::All, kind)?);
    }
    for index in 0..SYMBOLS {
        for level in 0..LEVELS {
            let owner = Owner::User(UserId::parse(&format!("user-{level}"))?);
            // From 101 to 108 above, and 99 to 92 below an open of 100.
            let price = decimal_from_f64(100.0 + (level as f64 + 1.0) * 1.0).context("a price")?;
            let below = decimal_from_f64(100.0 - (level as f64 + 1.0) * 1.0).context("a price")?;
            let kind =
                if level % 2 == 0 { RuleKind::Above { price } } else { RuleKind::Below { price: below } };
            let symbols = WatchedSymbols::Only(vec![symbol(index)?]);
            rules.push(rule(format!("u-{index}-{level}"), owner, symbols, kind)?);
        }
    }
    Ok(RuleSet::new(rules)?)
}

/// One tick of each symbol in turn, a second a round. Prices swing by so many percent around the open.
fn ticks(count: usize, swing: f64) -> anyhow::Result<Vec<Tick>> {
    let start: DateTime<Utc> = "2026-01-13T14:30:00Z".parse()?;
    let source = Source::parse("yahoo")?;
    let decimal = |number: f64| decimal_from_f64((number * 100.0).round() / 100.0).context("a price");
    let symbols = (0..SYMBOLS).map(symbol).collect::<anyhow::Result<Vec<_>>>()?;
    let tick = |index: usize| {
        let (round, of_symbol) = (index / SYMBOLS, index % SYMBOLS);
        let phase = round as f64 / 600.0 + of_symbol as f64;
        let price = 100.0 * (1.0 + phase.sin() * swing / 100.0);
        let time = start + TimeDelta::milliseconds(round as i64 * 1_000 + of_symbol as i64);
        let fields = TickFields {
            symbol: *symbols.get(of_symbol).context("a symbol")?,
            timestamp: time,
            price: decimal(price)?,
            volume: decimal(1_000.0 + round as f64)?,
            open: decimal(100.0)?,
            high: decimal(price.max(100.0))?,
            low: decimal(price.min(100.0))?,
            size: None,
            change_percent: 0.0,
            source,
            received_at: time,
            seq: index as u64 + 1,
        };
        Ok(Tick::new(fields)?)
    };
    (0..count).map(tick).collect()
}
