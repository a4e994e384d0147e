//! The invented market, always with a seed: the same every time.

use ::market::{AssetClass, Candle, Source, Symbol, Tick, day_bounds, decimal_to_f64};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::{history, market::Market};

fn start() -> DateTime<Utc> {
    "2026-01-13T15:30:00Z".parse().unwrap()
}

fn market_of(names: &[&str], seed: u64) -> Market {
    let symbols: Vec<Symbol> = names.iter().map(|name| Symbol::parse(name).unwrap()).collect();
    Market::new(&symbols, seed, Source::parse("simulated").unwrap(), start()).unwrap()
}

fn tick(market: &mut Market, place: usize, now: DateTime<Utc>) -> Tick {
    market.tick(place, now, now).unwrap().unwrap()
}

/// A tick of each of two symbols every 100 ms.
fn path(seed: u64) -> Vec<Tick> {
    let mut market = market_of(&["AAPL", "BTC/USDT"], seed);
    let place_and_time =
        |n: i32| ((n % 2) as usize, start() + TimeDelta::milliseconds(i64::from(n / 2) * 100));
    (2..2_000).map(place_and_time).map(|(place, now)| tick(&mut market, place, now)).collect()
}

#[test]
fn the_same_seed_makes_the_same_market() {
    assert_eq!(path(7), path(7));
}

#[test]
fn another_seed_makes_another_market() {
    let prices = |seed| path(seed).into_iter().map(|tick| tick.price).collect::<Vec<_>>();
    assert_ne!(prices(7), prices(8));
}

#[test]
fn one_symbol_more_starts_the_others_at_the_same_prices() {
    let first = |names: &[&str]| tick(&mut market_of(names, 3), 0, start()).price;
    assert_eq!(first(&["AAPL"]), first(&["AAPL", "ZZZZ"]));
}

#[test]
fn sequence_numbers_rise_while_the_clock_stands_still_or_goes_back() {
    let mut market = market_of(&["AAPL", "BTC/USDT"], 1);
    let mut last = [0; 2];
    for n in 0..3_000_i64 {
        // Forward, still, back by a second, over and over.
        let now = start() + TimeDelta::milliseconds([n * 10, n * 10, n * 10 - 1_000][(n % 3) as usize]);
        let place = (n % 2) as usize;
        let seq = tick(&mut market, place, now).seq;
        assert!(seq > last[place], "{seq} after {}", last[place]);
        last[place] = seq;
    }
}

#[test]
fn sequence_numbers_lie_above_those_of_an_earlier_run() {
    let mut market = market_of(&["AAPL", "BTC/USDT"], 1);
    let ahead = start().timestamp_micros().unsigned_abs() + 1_000_000_000;
    market.above(ahead);
    assert_eq!(
        [tick(&mut market, 0, start()).seq, tick(&mut market, 1, start()).seq],
        [ahead + 1, ahead + 1]
    );
    market.above(5);
    assert_eq!(tick(&mut market, 0, start()).seq, ahead + 2, "a lower number changes nothing");
}

#[test]
fn prices_are_positive_and_lie_within_the_days_range() {
    for tick in path(11) {
        assert!(tick.price > Decimal::ZERO && tick.low > Decimal::ZERO, "{tick:?}");
        assert!(tick.low <= tick.price && tick.price <= tick.high, "{tick:?}");
        assert!(tick.low <= tick.open && tick.open <= tick.high, "{tick:?}");
    }
}

#[test]
fn the_volume_of_a_day_never_falls_and_begins_anew_the_next_day() {
    let mut market = market_of(&["AAPL", "BTC/USDT"], 5);
    for (place, class) in [(0, AssetClass::Stock), (1, AssetClass::Crypto)] {
        let mut before: Option<Tick> = None;
        let mut days = 1;
        for minute in 0..3 * 24 * 60 {
            let now = tick(&mut market, place, start() + TimeDelta::minutes(minute));
            if let Some(before) = before {
                if day_bounds(class, before.timestamp).holds(now.timestamp) {
                    assert!(now.volume >= before.volume, "{} after {}", now.volume, before.volume);
                    assert_eq!(now.size, Some(now.volume - before.volume));
                } else {
                    days += 1;
                    assert!(now.volume < before.volume, "{} after {}", now.volume, before.volume);
                }
            }
            before = Some(now);
        }
        assert_eq!(days, 4);
    }
}

fn log_returns(bars: &[Candle]) -> Vec<f64> {
    let closes: Vec<f64> = bars.iter().map(|bar| decimal_to_f64(bar.close)).collect();
    closes.windows(2).map(|pair| (pair[1] / pair[0]).ln()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn central_moment(values: &[f64], power: i32) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(power)).sum::<f64>() / values.len() as f64
}

#[test]
fn minutes_move_together_and_have_fat_tails() {
    let mut market = market_of(&["BTC/USDT", "ETH/USDT"], 42);
    let minutes = (0..6_000).map(|n| start() + TimeDelta::minutes(n));
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for minute in minutes {
        first.push(market.candle(0, minute).unwrap());
        second.push(market.candle(1, minute).unwrap());
    }
    let (a, b) = (log_returns(&first), log_returns(&second));
    let (mean_a, mean_b) = (mean(&a), mean(&b));
    let covariance = a.iter().zip(&b).map(|(x, y)| (x - mean_a) * (y - mean_b)).sum::<f64>() / a.len() as f64;
    let correlation = covariance / (central_moment(&a, 2) * central_moment(&b, 2)).sqrt();
    assert!(correlation > 0.2 && correlation < 0.9, "{correlation}");
    for returns in [&a, &b] {
        let excess_kurtosis = central_moment(returns, 4) / central_moment(returns, 2).powi(2) - 3.0;
        assert!(excess_kurtosis > 0.1, "{excess_kurtosis}");
        let deviation_a_year = (central_moment(returns, 2) * 365.0 * 24.0 * 60.0).sqrt();
        assert!((0.3..1.2).contains(&deviation_a_year), "{deviation_a_year} a year");
    }
}

#[test]
fn the_history_is_every_minute_once_and_ends_where_ticks_begin() {
    let mut market = market_of(&["AAPL", "BTC/USDT"], 9);
    let now = start() + TimeDelta::minutes(90) + TimeDelta::seconds(20);
    let bars = history(&mut market, start(), now);
    for (place, name) in ["AAPL", "BTC/USDT"].into_iter().enumerate() {
        let own: Vec<&Candle> = bars.iter().filter(|bar| bar.symbol.as_str() == name).collect();
        let times: Vec<DateTime<Utc>> = own.iter().map(|bar| bar.time).collect();
        assert_eq!(times, (0..90).map(|n| start() + TimeDelta::minutes(n)).collect::<Vec<_>>());
        assert!(
            own.iter().all(|bar| bar.low <= bar.open.min(bar.close) && bar.high >= bar.open.max(bar.close))
        );
        let last = decimal_to_f64(own.last().unwrap().close);
        let first = decimal_to_f64(tick(&mut market, place, now).price);
        assert!(
            (first / last - 1.0).abs() < 0.01,
            "{name}: a tick of {first} after a bar that closed at {last}"
        );
    }
}

#[test]
fn a_market_goes_on_from_the_last_tick_of_an_earlier_run() {
    let mut earlier = market_of(&["AAPL"], 1);
    for n in 0..5_000 {
        tick(&mut earlier, 0, start() + TimeDelta::seconds(n));
    }
    let last = tick(&mut earlier, 0, start() + TimeDelta::seconds(5_000));

    let mut market = market_of(&["AAPL"], 99);
    market.above(last.seq);
    market.go_on_from(&last);
    let next = tick(&mut market, 0, last.timestamp + TimeDelta::milliseconds(1));
    assert!(
        (decimal_to_f64(next.price) / decimal_to_f64(last.price) - 1.0).abs() < 0.001,
        "{next:?} after {last:?}"
    );
    assert_eq!(next.open, last.open);
    assert!(next.volume >= last.volume && next.high >= last.high && next.low <= last.low);
    assert!((next.change_percent - last.change_percent).abs() < 0.1, "{next:?} after {last:?}");
    assert!(next.seq > last.seq);
}

#[test]
fn the_history_of_a_second_run_begins_after_the_minute_of_the_last_tick() {
    let mut market = market_of(&["AAPL", "BTC/USDT"], 1);
    let last = tick(&mut market_of(&["AAPL"], 1), 0, start() + TimeDelta::seconds(605));
    market.go_on_from(&last);
    let bars = history(&mut market, start(), start() + TimeDelta::minutes(20));
    let minutes = |name| {
        bars.iter()
            .filter(|bar| bar.symbol.as_str() == name)
            .map(|bar| (bar.time - start()).num_minutes())
            .collect::<Vec<_>>()
    };
    assert_eq!(minutes("AAPL"), (11..20).collect::<Vec<_>>());
    assert_eq!(minutes("BTC/USDT"), (0..20).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn any_seed_and_any_clock_make_possible_ticks(seed in any::<u64>(), steps in proptest::collection::vec(-100_000_i64..10_000_000_000, 1..50)) {
        let mut market = market_of(&["AAPL", "DOGE/USDT", "UNKNWN"], seed);
        let mut now = start();
        for (n, step) in steps.into_iter().enumerate() {
            now += TimeDelta::microseconds(step);
            let tick = tick(&mut market, n % 3, now);
            prop_assert!(tick.low <= tick.price && tick.price <= tick.high, "{tick:?}");
        }
    }
}
