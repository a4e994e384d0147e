//! Volumes of five minutes against what is usual.

use std::sync::Arc;

use alert_rules::{Alert, Baseline, RuleKind, slot_of};
use chrono::{DateTime, TimeDelta, Utc};
use market::{AssetClass, Candle, CandleFields, Interval, decimal_from_f64};

use crate::world::{Quote, World, at, house, quote, symbol};

const TWICE: RuleKind = RuleKind::VolumeSpike { multiplier: 2.0 };
const FIVE_MINUTES: i64 = 300;

/// One tick a candle; `volumes` are those of the candles.
fn quotes(first: i64, volumes: &[f64]) -> Vec<Quote> {
    let mut total = 10_000.0;
    let mut quotes = vec![Quote { volume: total, ..quote(first - 1, 100.0) }];
    for (volume, index) in volumes.iter().zip(0..) {
        total += volume;
        // Its last second, so that the next tick closes it.
        quotes.push(Quote { volume: total, ..quote(first + FIVE_MINUTES * (index + 1) - 1, 100.0) });
    }
    // Closes the last one.
    quotes.push(Quote { volume: total, ..quote(first + FIVE_MINUTES * (volumes.len() as i64) + 10, 100.0) });
    quotes
}

fn opened(world: &mut World, quotes: Vec<Quote>) -> Vec<Alert> {
    world.opened(quotes)
}

fn candle(time: DateTime<Utc>, volume: f64) -> Candle {
    let price = decimal_from_f64(100.0).unwrap();
    Candle::new(CandleFields {
        symbol: symbol("AAPL"),
        interval: Interval::FiveMinutes,
        time,
        open: price,
        high: price,
        low: price,
        close: price,
        volume: decimal_from_f64(volume),
        ticks: 1,
        source: "yahoo/ticks".parse().unwrap(),
        is_final: true,
    })
    .unwrap()
}

/// The same volume at 10:30 on the days before 2026-01-13.
fn sessions(count: i64, volume: f64) -> Arc<Baseline> {
    let candles: Vec<Candle> =
        (1..=count).rev().map(|days| candle(at(0) - TimeDelta::days(days), volume)).collect();
    Arc::new(Baseline::before(AssetClass::Stock, "2026-01-13".parse().unwrap(), &candles))
}

#[test]
fn without_sessions_the_mean_of_the_last_candles_is_usual_once_there_are_ten() {
    let mut world = World::new([house(TWICE)]);
    assert!(opened(&mut world, quotes(0, &[10.0, 10.0, 900.0, 10.0])).is_empty(), "too few candles");
    let mut volumes = vec![100.0; 11];
    volumes.extend([200.0, 230.0]);
    let mut world = World::new([house(TWICE)]);
    let alerts = opened(&mut world, quotes(0, &volumes));
    assert_eq!(alerts.len(), 1, "200 is not above twice 100");
    let alert = &alerts[0];
    assert_eq!(alert.id.as_str(), format!("house@1:AAPL:yahoo:5m:{}", at(12 * FIVE_MINUTES).timestamp()));
    assert_eq!(alert.message, "AAPL traded 230 in five minutes, 2.1 times the usual 108 (threshold 2 times)");
}

#[test]
fn five_sessions_at_the_same_time_of_day_are_usual_and_four_are_not() {
    for (count, expected) in [(4, 0), (5, 1), (30, 1)] {
        let mut world = World::new([house(TWICE)]);
        world.baseline = Some(sessions(count, 50.0));
        // The slot of 10:30 only. Of four sessions there are not ten candles either.
        let alerts = opened(&mut world, quotes(0, &[101.0, 9_000.0]));
        let of_slot =
            alerts.iter().filter(|alert| alert.id.as_str().ends_with(&at(0).timestamp().to_string()));
        assert_eq!(of_slot.count(), expected, "{count} sessions");
    }
}

#[test]
fn an_episode_ends_when_the_volume_is_a_fifth_below_the_threshold() {
    let mut world =
        World::new([crate::world::next_revision(&house(TWICE), |fields| fields.cooldown_minutes = 0)]);
    world.baseline = Some({
        let candles: Vec<Candle> = (1..=6)
            .rev()
            .flat_map(|days| (0..6).map(move |n| candle(at(n * FIVE_MINUTES) - TimeDelta::days(days), 100.0)))
            .collect();
        Arc::new(Baseline::before(AssetClass::Stock, "2026-01-13".parse().unwrap(), &candles))
    });
    let alerts = opened(&mut world, quotes(0, &[300.0, 170.0, 300.0, 160.0, 300.0]));
    let times: Vec<String> =
        alerts.iter().map(|alert| alert.id.as_str().rsplit(':').next().unwrap().to_owned()).collect();
    let expected = [0, 4].map(|n| at(n * FIVE_MINUTES).timestamp().to_string());
    assert_eq!(times, expected, "1.7 is not back to 1.6");
}

#[test]
fn a_candle_that_a_later_session_closes_opens_nothing() {
    let mut world = World::new([house(TWICE)]);
    let mut quotes = quotes(0, &[100.0; 12]);
    quotes.pop();
    let last = *quotes.last().unwrap();
    quotes.push(Quote { volume: last.volume + 5_000.0, ..quote(last.seconds + FIVE_MINUTES, 100.0) });
    quotes.push(quote(86_400, 100.0));
    assert!(opened(&mut world, quotes).is_empty());
}

#[test]
fn slots_count_from_local_midnight_in_winter_and_in_summer() {
    let slot = |time: &str| slot_of(AssetClass::Stock, time.parse().unwrap());
    assert_eq!(slot("2026-01-13T14:30:00Z"), 9 * 12 + 6);
    assert_eq!(slot("2026-07-13T13:30:00Z"), 9 * 12 + 6);
    assert_eq!(slot_of(AssetClass::Crypto, "2026-07-13T23:55:00Z".parse().unwrap()), 287);
}
