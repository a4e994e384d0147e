use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use market::{
    Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, day_bounds, prefer, rollup,
};
use proptest::prelude::*;
use rust_decimal::Decimal;

fn start() -> DateTime<Utc> {
    "2026-01-13T14:58:00Z".parse().unwrap()
}

fn minute(n: i64, cents: i64, origin: CandleOrigin) -> Candle {
    Candle::new(CandleFields {
        symbol: Symbol::parse("AAPL").unwrap(),
        interval: Interval::Minute,
        time: start() + TimeDelta::minutes(n),
        open: Decimal::new(cents, 2),
        high: Decimal::new(cents + 5, 2),
        low: Decimal::new(cents - 5, 2),
        close: Decimal::new(cents + 1, 2),
        volume: Some(Decimal::from(10)),
        ticks: 3,
        source: CandleSource { feed: Source::parse("yahoo").unwrap(), origin },
        is_final: true,
    })
    .unwrap()
}

fn with(candle: Candle, change: impl FnOnce(&mut CandleFields)) -> Candle {
    let mut fields = candle.into_fields();
    change(&mut fields);
    Candle::new(fields).unwrap()
}

#[test]
fn of_two_candles_with_as_many_ticks_the_one_with_a_volume_is_preferred() {
    let known = minute(0, 1_000, CandleOrigin::Ticks);
    let unknown = with(known, |fields| fields.volume = None);
    assert_eq!(prefer(&[unknown, known]), [known]);
}

#[test]
fn the_providers_bar_is_preferred_whatever_the_order() {
    let (quoted, built) = (minute(0, 1_000, CandleOrigin::Provider), minute(0, 2_000, CandleOrigin::Ticks));
    assert_eq!(prefer(&[quoted, built]), [quoted]);
    assert_eq!(prefer(&[built, quoted]), [quoted]);
    let other = minute(1, 1_000, CandleOrigin::Ticks);
    assert_eq!(prefer(&[other, built, quoted]), [quoted, other]);
}

#[test]
fn minutes_are_put_together_at_the_boundaries_of_the_clock() {
    let minutes: Vec<Candle> = (0..7).map(|n| minute(n, 1_000 + 10 * n, CandleOrigin::Provider)).collect();
    let wide = rollup(&minutes, Interval::FiveMinutes, start() + TimeDelta::minutes(6));
    assert_eq!(
        wide.iter().map(|bar| bar.time.format("%H:%M").to_string()).collect::<Vec<_>>(),
        ["14:55", "15:00"]
    );
    assert_eq!(wide.iter().map(|bar| bar.is_final).collect::<Vec<_>>(), [true, false]);
    let second = wide[1];
    assert_eq!((second.open, second.close), (minutes[2].open, minutes[6].close));
    assert_eq!((second.high, second.low), (minutes[6].high, minutes[2].low));
    assert_eq!((second.volume, second.ticks), (Some(Decimal::from(50)), 15));
    assert_eq!(second.source.to_string(), "yahoo");
}

#[test]
fn one_built_minute_makes_the_whole_a_built_one_and_an_open_one_keeps_it_open() {
    let mut minutes = vec![minute(2, 1_000, CandleOrigin::Provider), minute(3, 1_000, CandleOrigin::Ticks)];
    let later = start() + TimeDelta::days(2);
    assert_eq!(rollup(&minutes, Interval::Hour, later)[0].source.to_string(), "yahoo/ticks");
    assert!(rollup(&minutes, Interval::Hour, later)[0].is_final);
    minutes[1] = with(minutes[1], |fields| fields.is_final = false);
    assert!(!rollup(&minutes, Interval::Hour, later)[0].is_final);
}

#[test]
fn a_daily_bar_is_the_exchanges_day() {
    // 23:00 UTC on the 13th and 01:00 UTC on the 14th are both the 13th in New York.
    let evening = [minute(482, 1_000, CandleOrigin::Provider), minute(602, 1_100, CandleOrigin::Provider)];
    let wide = rollup(&evening, Interval::Day, start() + TimeDelta::days(2));
    assert_eq!(wide.len(), 1);
    assert_eq!(wide[0].time.to_rfc3339(), "2026-01-13T00:00:00+00:00");
    assert!(wide[0].is_final);
}

#[test]
fn sums_beyond_all_reason_stop_at_the_largest_number() {
    let largest = with(minute(2, 1_000, CandleOrigin::Ticks), |fields| {
        (fields.volume, fields.ticks) = (Some(Decimal::MAX), u64::MAX);
    });
    let wide = rollup(
        &[largest, with(largest, |fields| fields.time = start() + TimeDelta::minutes(3))],
        Interval::Hour,
        start(),
    );
    // Of the largest decimal, its 15 leading digits.
    let most = Decimal::from(792_281_625_142_643_i64) * Decimal::from(100_000_000_000_000_i64);
    assert_eq!((wide[0].volume, wide[0].ticks), (Some(most), u64::MAX));
}

/// Some of the minutes of two days, across midnight in New York and in UTC.
fn minutes() -> impl Strategy<Value = Vec<Candle>> {
    let bar = (1_i64..100_000, prop::bool::ANY, prop::bool::weighted(0.9), prop::bool::weighted(0.95));
    (prop::bool::ANY, prop::collection::btree_map(0_i64..2_880, bar, 0..200)).prop_map(|(is_stock, bars)| {
        let symbol = Symbol::parse(if is_stock { "AAPL" } else { "BTC/USDT" }).unwrap();
        let bar = |(n, (cents, is_built, is_final, has_volume)): (i64, (i64, bool, bool, bool))| {
            let origin = if is_built { CandleOrigin::Ticks } else { CandleOrigin::Provider };
            with(minute(n, 5 + cents, origin), |fields| {
                (fields.symbol, fields.is_final, fields.ticks) = (symbol, is_final, n as u64);
                fields.volume = fields.volume.filter(|_| has_volume);
            })
        };
        bars.into_iter().map(bar).collect()
    })
}

proptest! {
    #[test]
    fn wide_bars_are_what_their_definition_says(minutes in minutes(), passed in 0_i64..3_000) {
        let now = start() + TimeDelta::minutes(passed);
        for interval in [Interval::FiveMinutes, Interval::Hour, Interval::Day] {
            let mut groups: BTreeMap<_, Vec<Candle>> = BTreeMap::new();
            for bar in &minutes {
                let day = day_bounds(bar.symbol.asset_class(), bar.time);
                let start = interval.floor(bar.time);
                let bucket = match interval {
                    Interval::Day => (day.label(), day.end),
                    _ => (start, start + interval.duration()),
                };
                groups.entry(bucket).or_default().push(*bar);
            }
            let wide = rollup(&minutes, interval, now);
            prop_assert_eq!(wide.len(), groups.len());
            for (bar, ((time, end), parts)) in wide.iter().zip(groups) {
                prop_assert_eq!((bar.time, bar.interval, bar.symbol), (time, interval, parts[0].symbol));
                prop_assert_eq!((bar.open, bar.close), (parts[0].open, parts[parts.len() - 1].close));
                prop_assert_eq!(Some(bar.high), parts.iter().map(|part| part.high).max());
                prop_assert_eq!(Some(bar.low), parts.iter().map(|part| part.low).min());
                prop_assert_eq!(bar.volume, parts.iter().map(|part| part.volume).sum::<Option<Decimal>>());
                prop_assert_eq!(bar.ticks, parts.iter().map(|part| part.ticks).sum::<u64>());
                let quoted = parts.iter().all(|part| part.source.origin == CandleOrigin::Provider);
                prop_assert_eq!(bar.source.origin == CandleOrigin::Provider, quoted);
                prop_assert_eq!(bar.is_final, end <= now && parts.iter().all(|part| part.is_final));
            }
        }
    }

    #[test]
    fn one_bar_of_each_time_is_preferred_in_order_whatever_the_order_of_arrival(
        minutes in minutes(), others in minutes(), turn in any::<prop::sample::Index>(),
    ) {
        let mut all = [minutes, others].concat();
        let preferred = prefer(&all);
        let key = |bar: &Candle| (bar.symbol, bar.interval, bar.time);
        prop_assert!(preferred.is_sorted_by(|a, b| key(a) < key(b)));
        prop_assert_eq!(preferred.len(), all.iter().map(key).collect::<BTreeSet<_>>().len());
        for bar in &preferred {
            let quoted = all.iter().any(|other| key(other) == key(bar) && other.source.origin == CandleOrigin::Provider);
            prop_assert_eq!(bar.source.origin == CandleOrigin::Provider, quoted);
            prop_assert!(all.contains(bar));
        }
        if !all.is_empty() {
            let turn = turn.index(all.len());
            all.rotate_left(turn);
            let told = |bars: &[Candle]| bars.iter().map(|bar| (key(bar), bar.source, bar.is_final, bar.ticks)).collect::<Vec<_>>();
            prop_assert_eq!(told(&prefer(&all)), told(&preferred));
        }
    }
}
