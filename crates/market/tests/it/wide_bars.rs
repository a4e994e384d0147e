use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, CandleOrigin, CandleSource, Interval, Source, Symbol, prefer, rollup};
use rust_decimal::Decimal;

fn start() -> DateTime<Utc> {
    "2026-01-13T14:58:00Z".parse().unwrap()
}

fn minute(n: i64, cents: i64, origin: CandleOrigin) -> Candle {
    Candle {
        symbol: Symbol::parse("AAPL").unwrap(),
        interval: Interval::Minute,
        time: start() + TimeDelta::minutes(n),
        open: Decimal::new(cents, 2),
        high: Decimal::new(cents + 5, 2),
        low: Decimal::new(cents - 5, 2),
        close: Decimal::new(cents + 1, 2),
        volume: Decimal::from(10),
        ticks: 3,
        source: CandleSource { feed: Source::parse("yahoo").unwrap(), origin },
        is_final: true,
    }
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
    assert_eq!((second.volume, second.ticks), (Decimal::from(50), 15));
    assert_eq!(second.source.to_string(), "yahoo");
}

#[test]
fn one_built_minute_makes_the_whole_a_built_one_and_an_open_one_keeps_it_open() {
    let mut minutes = vec![minute(2, 1_000, CandleOrigin::Provider), minute(3, 1_000, CandleOrigin::Ticks)];
    let later = start() + TimeDelta::days(2);
    assert_eq!(rollup(&minutes, Interval::Hour, later)[0].source.to_string(), "yahoo/ticks");
    assert!(rollup(&minutes, Interval::Hour, later)[0].is_final);
    minutes[1].is_final = false;
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
