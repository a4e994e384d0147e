use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use market::{
    Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, day_bounds, prefer, rollup,
    widen,
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
fn a_candle_is_not_final_while_that_of_another_feed_is_in_progress() {
    let few = minute(0, 1_000, CandleOrigin::Ticks);
    let many = with(few, |fields| {
        (fields.source.feed, fields.ticks) = (Source::parse("binance").unwrap(), 45);
    });
    assert_eq!(prefer(&[few, many.in_progress()]), [many.in_progress()]);
    assert_eq!(prefer(&[few.in_progress(), many]), [many.in_progress()]);
    assert_eq!(prefer(&[few, many]), [many]);
    let earlier = with(many.in_progress(), |fields| fields.ticks = 99);
    assert_eq!(prefer(&[earlier, many]), [many], "an earlier state of the same candle");
}

#[test]
fn the_provider_s_candle_is_preferred_whatever_the_order() {
    let (quoted, built) = (minute(0, 1_000, CandleOrigin::Provider), minute(0, 2_000, CandleOrigin::Ticks));
    assert_eq!(prefer(&[quoted, built]), [quoted]);
    assert_eq!(prefer(&[built, quoted]), [quoted]);
    let other = minute(1, 1_000, CandleOrigin::Ticks);
    assert_eq!(prefer(&[other, built, quoted]), [quoted, other]);
}

#[test]
fn minutes_are_put_together_at_the_boundaries_of_the_clock() {
    let minutes: Vec<Candle> = (0..7).map(|n| minute(n, 1_000 + 10 * n, CandleOrigin::Provider)).collect();
    let wide = widen(&[], &minutes, Interval::FiveMinutes, start() + TimeDelta::minutes(6));
    assert_eq!(
        wide.iter().map(|candle| candle.time.format("%H:%M").to_string()).collect::<Vec<_>>(),
        ["14:55", "15:00"]
    );
    assert_eq!(wide.iter().map(|candle| candle.is_final).collect::<Vec<_>>(), [true, false]);
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
    assert_eq!(widen(&[], &minutes, Interval::Hour, later)[0].source.to_string(), "yahoo/ticks");
    assert!(widen(&[], &minutes, Interval::Hour, later)[0].is_final);
    minutes[1] = with(minutes[1], |fields| fields.is_final = false);
    assert!(!widen(&[], &minutes, Interval::Hour, later)[0].is_final);
}

#[test]
fn a_daily_candle_is_the_exchanges_day() {
    // 23:00 UTC on the 13th and 01:00 UTC on the 14th are both the 13th in New York.
    let evening = [minute(482, 1_000, CandleOrigin::Provider), minute(602, 1_100, CandleOrigin::Provider)];
    let wide = widen(&[], &evening, Interval::Day, start() + TimeDelta::days(2));
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
    );
    // Of the largest decimal, its 15 leading digits.
    let most = Decimal::from(792_281_625_142_643_i64) * Decimal::from(100_000_000_000_000_i64);
    assert_eq!((wide[0].volume, wide[0].ticks), (Some(most), u64::MAX));
}

#[test]
fn a_candle_whose_building_began_late_does_not_replace_its_minutes() {
    let minutes: Vec<Candle> = (2..7).map(|n| minute(n, 1_000 + n, CandleOrigin::Provider)).collect();
    let late = with(minutes[4], |fields| {
        (fields.interval, fields.time) = (Interval::FiveMinutes, start() + TimeDelta::minutes(2));
        (fields.ticks, fields.source.origin) = (9_000, CandleOrigin::Ticks);
    });
    let end = start() + TimeDelta::minutes(7);
    let [wide] = widen(&[late], &minutes, Interval::FiveMinutes, end)[..] else { panic!("one candle") };
    assert_eq!((wide.open, wide.volume), (minutes[0].open, Some(Decimal::from(50))));
    assert!(wide.is_final, "the stored one is, and so nothing more comes");

    let open = late.in_progress();
    assert!(!widen(&[open], &minutes, Interval::FiveMinutes, end + TimeDelta::hours(1))[0].is_final);
    assert_eq!(widen(&[late], &[], Interval::FiveMinutes, end), [late], "its minutes were pruned");
    let quoted = with(late, |fields| fields.source.origin = CandleOrigin::Provider);
    assert_eq!(widen(&[late, quoted], &minutes, Interval::FiveMinutes, end), [quoted]);
}

#[test]
fn the_volume_of_a_stock_s_day_is_its_running_total_where_a_minute_has_none() {
    let unknown = with(minute(2, 1_000, CandleOrigin::Ticks), |fields| fields.volume = None);
    let day = with(unknown, |fields| {
        (fields.interval, fields.time) = (Interval::Day, "2026-01-13T00:00:00Z".parse().unwrap());
        fields.volume = Some(Decimal::from(1_234));
    });
    let of_day = widen(&[day], &[unknown], Interval::Day, start());
    assert_eq!(of_day[0].volume, Some(Decimal::from(1_234)));
}

/// Some of the minutes of two days, across midnight in New York and in UTC.
fn minutes() -> impl Strategy<Value = Vec<Candle>> {
    let candle = (1_i64..100_000, prop::bool::ANY, prop::bool::weighted(0.9), prop::bool::weighted(0.95));
    (prop::bool::ANY, prop::collection::btree_map(0_i64..2_880, candle, 0..200)).prop_map(
        |(is_stock, candles)| {
            let symbol = Symbol::parse(if is_stock { "AAPL" } else { "BTC/USDT" }).unwrap();
            let candle = |(n, (cents, is_built, is_final, has_volume)): (i64, (i64, bool, bool, bool))| {
                let origin = if is_built { CandleOrigin::Ticks } else { CandleOrigin::Provider };
                with(minute(n, 5 + cents, origin), |fields| {
                    (fields.symbol, fields.is_final, fields.ticks) = (symbol, is_final, n as u64);
                    fields.volume = fields.volume.filter(|_| has_volume);
                })
            };
            candles.into_iter().map(candle).collect()
        },
    )
}

proptest! {
    #[test]
    fn wide_candles_are_what_their_definition_says(minutes in minutes(), passed in 0_i64..3_000) {
        let now = start() + TimeDelta::minutes(passed);
        for interval in [Interval::FiveMinutes, Interval::Hour, Interval::Day] {
            let mut groups: BTreeMap<_, Vec<Candle>> = BTreeMap::new();
            for candle in &minutes {
                let day = day_bounds(candle.symbol.asset_class(), candle.time);
                let start = interval.floor(candle.time);
                let candle_bounds = match interval {
                    Interval::Day => (day.label(), day.end),
                    _ => (start, start + interval.duration()),
                };
                groups.entry(candle_bounds).or_default().push(*candle);
            }
            let wide = widen(&[], &minutes, interval, now);
            prop_assert_eq!(wide.len(), groups.len());
            for (candle, ((time, end), parts)) in wide.iter().zip(groups) {
                prop_assert_eq!((candle.time, candle.interval, candle.symbol), (time, interval, parts[0].symbol));
                prop_assert_eq!((candle.open, candle.close), (parts[0].open, parts[parts.len() - 1].close));
                prop_assert_eq!(Some(candle.high), parts.iter().map(|part| part.high).max());
                prop_assert_eq!(Some(candle.low), parts.iter().map(|part| part.low).min());
                prop_assert_eq!(candle.volume, parts.iter().map(|part| part.volume).sum::<Option<Decimal>>());
                prop_assert_eq!(candle.ticks, parts.iter().map(|part| part.ticks).sum::<u64>());
                let quoted = parts.iter().all(|part| part.source.origin == CandleOrigin::Provider);
                prop_assert_eq!(candle.source.origin == CandleOrigin::Provider, quoted);
                // Ten seconds: the tolerance for late ticks and the idle timeout.
                let is_over = end + TimeDelta::seconds(10) <= now;
                prop_assert_eq!(candle.is_final, is_over && parts.iter().all(|part| part.is_final));
            }
        }
    }

    #[test]
    fn one_candle_of_each_time_is_preferred_in_order_whatever_the_order_of_arrival(
        minutes in minutes(), others in minutes(), turn in any::<prop::sample::Index>(),
    ) {
        let mut all = [minutes, others].concat();
        let preferred = prefer(&all);
        let key = |candle: &Candle| (candle.symbol, candle.interval, candle.time);
        prop_assert!(preferred.is_sorted_by(|a, b| key(a) < key(b)));
        prop_assert_eq!(preferred.len(), all.iter().map(key).collect::<BTreeSet<_>>().len());
        for candle in &preferred {
            let rivals = || all.iter().filter(|other| key(other) == key(candle));
            let is_quoted = |other: &&Candle| other.is_final && other.source.origin == CandleOrigin::Provider;
            prop_assert_eq!(is_quoted(&candle), rivals().any(|other| is_quoted(&other)));
            prop_assert!(rivals().any(|other| other.in_progress() == candle.in_progress()));
            prop_assert!(!candle.is_final || rivals().any(|other| other.is_final));
        }
        if !all.is_empty() {
            let turn = turn.index(all.len());
            all.rotate_left(turn);
            let shown = |candles: &[Candle]| candles.iter().map(|candle| (key(candle), candle.source, candle.is_final, candle.ticks)).collect::<Vec<_>>();
            prop_assert_eq!(shown(&prefer(&all)), shown(&preferred));
        }
    }
}
