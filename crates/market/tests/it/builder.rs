use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use market::{
    Applied, AssetClass, BuilderState, Candle, CandleBuilder, CandleFields, CandleTiming, Interval, Source,
    Symbol, Tick, TickFields, day_bounds,
};
use proptest::prelude::*;
use rust_decimal::Decimal;

fn start() -> DateTime<Utc> {
    "2026-01-13T15:30:00Z".parse().unwrap()
}

/// The same tolerance for late ticks and idle timeout, as most tests need no more.
fn seconds(seconds: i64) -> CandleTiming {
    let time = TimeDelta::seconds(seconds);
    CandleTiming { late_tick_tolerance: time, idle_timeout: time }
}

/// A tick so many milliseconds after the start.
fn tick(symbol: &str, ms: i64, seq: u64, cents: i64, volume: i64) -> Tick {
    let time = start() + TimeDelta::milliseconds(ms);
    Tick::new(TickFields {
        symbol: Symbol::parse(symbol).unwrap(),
        timestamp: time,
        price: Decimal::new(cents, 2),
        volume: Decimal::from(volume),
        open: Decimal::ONE,
        high: Decimal::ONE,
        low: Decimal::ONE,
        size: None,
        change_percent: 0.0,
        source: Source::parse("test").unwrap(),
        received_at: time,
        seq,
    })
    .unwrap()
}

/// The same with the quantity of its trade.
fn sized(tick: Tick, size: i64) -> Tick {
    Tick::new(TickFields { size: Some(Decimal::from(size)), ..tick.into_fields() }).unwrap()
}

fn apply(builder: &mut CandleBuilder, ticks: &[Tick]) -> Vec<Candle> {
    let mut closed = Vec::new();
    for tick in ticks {
        builder.apply(tick, tick.received_at, &mut closed);
    }
    closed
}

fn figures(candle: &Candle) -> (String, String, String, String, String, u64) {
    let text = |decimal: Decimal| decimal.normalize().to_string();
    let CandleFields { open, high, low, close, volume, ticks, .. } = **candle;
    (text(open), text(high), text(low), text(close), volume.map_or("unknown".to_owned(), text), ticks)
}

#[test]
fn after_a_fast_clock_is_corrected_candles_go_on_and_a_closed_one_is_not_replaced_by_its_rest() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], seconds(5));
    let minutes = |n: i64| n * 60_000;
    let before = [tick("AAPL", 0, 1, 100, 10), tick("AAPL", minutes(3), 2, 300, 20)];
    let closed = apply(&mut builder, &before);
    assert_eq!(closed.iter().map(|candle| candle.time).collect::<Vec<_>>(), [start()]);
    let late = tick("AAPL", 20_000, 3, 200, 30);
    let mut closed = Vec::new();
    assert_eq!(builder.apply(&late, late.received_at, &mut closed), Applied::Late);
    let after = [tick("AAPL", minutes(1), 4, 210, 40), tick("AAPL", minutes(2) + 5_000, 5, 220, 50)];
    closed.extend(apply(&mut builder, &after));
    let times: Vec<_> = closed.iter().map(|candle| (candle.time, candle.ticks)).collect();
    assert_eq!(times, [(start() + TimeDelta::minutes(1), 1)]);
}

#[test]
fn a_bar_closes_when_a_tick_is_past_its_end_by_the_lateness() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], seconds(5));
    let first =
        [tick("AAPL", 0, 1, 100, 10), tick("AAPL", 30_000, 2, 300, 25), tick("AAPL", 59_999, 3, 200, 40)];
    assert!(apply(&mut builder, &first).is_empty());
    assert!(apply(&mut builder, &[tick("AAPL", 64_999, 4, 250, 50)]).is_empty());
    let closed = apply(&mut builder, &[tick("AAPL", 65_000, 5, 260, 60)]);
    assert_eq!(closed.len(), 1);
    assert_eq!((closed[0].time, closed[0].is_final), (start(), true));
    // There is no total from before the first candle of all.
    assert_eq!(figures(&closed[0]), ("1".into(), "3".into(), "1".into(), "2".into(), "unknown".into(), 3));
    let open = builder.open_candles();
    // 60 at its last tick less 40 at the last tick before it.
    assert_eq!(figures(&open[0]), ("2.5".into(), "2.6".into(), "2.5".into(), "2.6".into(), "20".into(), 2));
}

#[test]
fn ticks_out_of_order_find_their_bar_until_it_is_closed_and_are_late_afterwards() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], seconds(5));
    let mut closed = Vec::new();
    let mut apply = |tick: Tick, closed: &mut Vec<Candle>| builder.apply(&tick, tick.received_at, closed);
    assert_eq!(apply(tick("AAPL", 50_000, 2, 200, 20), &mut closed), Applied::Counted);
    assert_eq!(apply(tick("AAPL", 61_000, 4, 400, 40), &mut closed), Applied::Counted);
    assert_eq!(apply(tick("AAPL", 59_000, 3, 300, 30), &mut closed), Applied::Counted);
    assert_eq!(apply(tick("AAPL", 10_000, 1, 100, 10), &mut closed), Applied::Counted);
    assert_eq!(apply(tick("AAPL", 66_000, 5, 500, 50), &mut closed), Applied::Counted);
    assert_eq!(closed.len(), 1);
    assert_eq!(figures(&closed[0]), ("1".into(), "3".into(), "1".into(), "3".into(), "unknown".into(), 3));
    assert_eq!(apply(tick("AAPL", 58_000, 9, 900, 35), &mut closed), Applied::Late);
    assert_eq!(closed.len(), 1, "what is closed stays as it is");
    // The bar that follows learned the volume before it from the tick that came later: 50 - 30.
    assert_eq!(builder.open_candles()[0].volume, Some(Decimal::from(20)));
}

#[test]
fn a_quiet_series_is_closed_by_our_clock_in_its_own_time() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], seconds(5));
    let years_later = start() + TimeDelta::days(2_000);
    let mut closed = Vec::new();
    builder.apply(&tick("AAPL", 10_000, 1, 100, 10), years_later, &mut closed);
    builder.advance(years_later + TimeDelta::seconds(54), &mut closed);
    assert!(closed.is_empty(), "a recording is not closed because it is old");
    builder.advance(years_later + TimeDelta::seconds(55), &mut closed);
    assert_eq!(closed.len(), 1);
    assert!(builder.open_candles().is_empty());
}

#[test]
fn a_series_is_inherited_with_its_bars_and_only_where_it_has_come_further() {
    let new = || CandleBuilder::new(&[Interval::Minute], seconds(5));
    let (mut gone, mut heir) = (new(), new());
    apply(&mut gone, &[tick("AAPL", 0, 1, 100, 10), tick("MSFT", 0, 2, 100, 10), tick("TSLA", 0, 3, 1, 1)]);
    apply(&mut heir, &[tick("MSFT", 2_000, 4, 200, 20)]);
    let is_ours = |symbol: Symbol| symbol.as_str() != "TSLA";
    assert_eq!(
        heir.adopt(gone.state(), is_ours),
        1,
        "MSFT has come further here, and TSLA belongs to others"
    );
    apply(&mut heir, &[tick("AAPL", 1_000, 5, 300, 30)]);
    let bars = heir.open_candles();
    assert_eq!(bars.iter().map(|bar| bar.symbol.as_str()).collect::<Vec<_>>(), ["AAPL", "MSFT"]);
    assert_eq!(figures(&bars[0]), ("1".into(), "3".into(), "1".into(), "3".into(), "unknown".into(), 2));
    let known = heir.clone();
    assert_eq!((heir.adopt(gone.state(), is_ours), heir == known), (0, true), "again");
    assert_eq!(
        CandleBuilder::new(&[Interval::Hour], seconds(5)).adopt(gone.state(), |_| true),
        0,
        "other intervals"
    );
    assert_eq!(heir.release(&gone.state(), |_| false), 0, "both have come further here");
    assert_eq!(gone.release(&heir.state(), |_| true), 2, "theirs are older");
    assert_eq!(gone.symbols().map(|symbol| symbol.to_string()).collect::<Vec<_>>(), ["TSLA"]);
    let as_far = gone.state();
    assert_eq!(gone.release(&as_far, |_| true), 0, "as far, and its own");
    assert_eq!(gone.release(&as_far, |_| false), 1, "as far, and the other's");
}

#[test]
fn a_late_tick_and_an_idle_series_have_limits_of_their_own_and_neither_is_kept_in_the_state() {
    let timing =
        CandleTiming { late_tick_tolerance: TimeDelta::seconds(2), idle_timeout: TimeDelta::seconds(30) };
    let mut builder = CandleBuilder::new(&[Interval::Minute], timing);
    let mut closed = Vec::new();
    let first = tick("AAPL", 59_000, 1, 100, 10);
    builder.apply(&first, first.received_at, &mut closed);
    // The timer starts at 59 s: the end of the minute and 30 s more are 31 s away.
    assert!(!builder.is_due(first.received_at + TimeDelta::milliseconds(30_999)));
    assert!(builder.is_due(first.received_at + TimeDelta::seconds(31)));
    let other = CandleTiming { idle_timeout: TimeDelta::seconds(1), ..timing };
    let restored = CandleBuilder::restore(builder.state(), &[Interval::Minute], other);
    assert!(restored.is_due(first.received_at + TimeDelta::seconds(2)));
    assert_eq!(apply(&mut builder, &[tick("AAPL", 61_999, 2, 100, 20)]), []);
    assert_eq!(apply(&mut builder, &[tick("AAPL", 62_000, 3, 100, 30)]).len(), 1);
}

#[test]
fn a_state_of_a_newer_version_is_refused_and_one_without_a_number_is_read() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], seconds(5));
    apply(&mut builder, &[tick("AAPL", 0, 1, 100, 10)]);
    let text = serde_json::to_string(&builder.state()).unwrap();
    assert!(text.starts_with(r#"{"version":1,"#), "{text}");
    let newer = text.replace(r#""version":1"#, r#""version":7"#);
    let refused = serde_json::from_str::<BuilderState>(&newer).unwrap_err().to_string();
    assert!(refused.contains("has version 7, and this program reads versions up to 1"), "{refused}");
    // Version 0 also held a setting and two figures that are no longer used, and had no sizes.
    let older = text
        .replace(r#""version":1,"#, r#""lateness_seconds":5,"#)
        .replace(r#","sizes":null"#, "")
        .replace(r#""last_volume""#, r#""first_volume":10,"last_volume""#);
    let older = serde_json::from_str::<BuilderState>(&older).unwrap();
    assert_eq!(CandleBuilder::restore(older, &[Interval::Minute], seconds(5)), builder);
}

#[test]
fn a_clock_an_hour_off_or_ticks_that_could_not_come_close_no_bar_before_its_time() {
    for hours in [-1, 1] {
        let mut builder = CandleBuilder::new(&Interval::ALL, seconds(5));
        let mut closed = Vec::new();
        let seen = start() + TimeDelta::hours(hours);
        builder.apply(&tick("AAPL", 10_000, 1, 100, 10), seen, &mut closed);
        let mut builder = CandleBuilder::restore(builder.state(), &Interval::ALL, seconds(5));
        let here = start() + TimeDelta::seconds(10);
        builder.reset_idle_timers(here);
        assert!(!builder.is_due(here + TimeDelta::seconds(54)));
        builder.advance(here + TimeDelta::seconds(54), &mut closed);
        assert!(closed.is_empty(), "{hours} h: {closed:?}");
        let later = here + TimeDelta::seconds(54);
        let applied = builder.apply(&tick("AAPL", 59_000, 2, 300, 30), later, &mut closed);
        assert_eq!(applied, Applied::Counted, "{hours} h");
        builder.advance(later + TimeDelta::seconds(6), &mut closed);
        assert_eq!(
            closed.iter().map(|bar| (bar.interval, bar.ticks)).collect::<Vec<_>>(),
            [(Interval::Minute, 2)]
        );
    }
}

/// The volumes of the candles that these ticks close, oldest first.
fn volumes(interval: Interval, ticks: &[Tick]) -> Vec<Option<Decimal>> {
    let mut builder = CandleBuilder::new(&[interval], seconds(0));
    apply(&mut builder, ticks).iter().map(|candle| candle.volume).collect()
}

const DAY_MS: i64 = 86_400_000;

#[test]
fn the_volume_of_a_stocks_day_is_its_last_running_total() {
    let ticks = [
        tick("AAPL", 0, 1, 100, 5_000),
        tick("AAPL", 1_000, 2, 100, 7_000),
        tick("AAPL", DAY_MS, 3, 100, 300),
        tick("AAPL", DAY_MS + 1_000, 4, 100, 900),
        tick("AAPL", 2 * DAY_MS, 5, 100, 100),
    ];
    assert_eq!(volumes(Interval::Day, &ticks), [7_000, 900].map(|volume| Some(Decimal::from(volume))));
    let mut builder = CandleBuilder::new(&[Interval::Day], seconds(5));
    let label = "2026-01-13T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
    assert_eq!(apply(&mut builder, &ticks)[0].time, label);
}

#[test]
fn a_difference_of_running_totals_is_unknown_across_sessions_and_where_the_total_fell() {
    let ticks = [
        tick("AAPL", 0, 1, 100, 5_000),
        tick("AAPL", 60_000, 2, 100, 5_100),
        tick("AAPL", 120_000, 3, 100, 5_050),
        tick("AAPL", DAY_MS, 4, 100, 5_200),
        tick("AAPL", DAY_MS + 60_000, 5, 100, 5_300),
        tick("AAPL", DAY_MS + 120_000, 6, 100, 5_300),
    ];
    let hundred = Some(Decimal::from(100));
    assert_eq!(volumes(Interval::Minute, &ticks), [None, hundred, None, None, hundred]);
}

#[test]
fn the_volume_of_a_feed_that_quotes_none_is_unknown() {
    let ticks = [
        tick("AAPL", 0, 1, 100, 0),
        tick("AAPL", 60_000, 2, 101, 0),
        tick("AAPL", 120_000, 3, 100, 0),
        tick("AAPL", DAY_MS, 4, 100, 0),
    ];
    assert_eq!(volumes(Interval::Minute, &ticks), [None; 3]);
    assert_eq!(volumes(Interval::Day, &ticks), [None]);
}

#[test]
fn a_rolling_figure_is_no_running_total() {
    let ticks = [
        tick("BTC/USDT", 0, 1, 100, 5_000),
        tick("BTC/USDT", 61_000, 2, 100, 5_100),
        tick("BTC/USDT", 121_000, 3, 100, 5_200),
    ];
    assert_eq!(volumes(Interval::Minute, &ticks), [None, None]);
    assert_eq!(volumes(Interval::FiveMinutes, &ticks), []);
}

#[test]
fn the_volume_is_the_sum_of_the_sizes_unless_one_is_missing() {
    let ticks = [
        sized(tick("BTC/USDT", 0, 1, 100, 5_000), 3),
        sized(tick("BTC/USDT", 1_000, 2, 100, 5_000), 4),
        sized(tick("BTC/USDT", 60_000, 3, 100, 5_000), 5),
        tick("BTC/USDT", 61_000, 4, 100, 5_000),
        sized(tick("BTC/USDT", 120_000, 5, 100, 5_000), 6),
    ];
    assert_eq!(volumes(Interval::Minute, &ticks), [Some(Decimal::from(7)), None]);
    let largest = TickFields { size: Some(Decimal::MAX), ..ticks[0].into_fields() };
    let next = TickFields { seq: 2, ..largest };
    let later = tick("BTC/USDT", 60_000, 3, 100, 5_000);
    let ticks = [Tick::new(largest).unwrap(), Tick::new(next).unwrap(), later];
    assert_eq!(volumes(Interval::Minute, &ticks), [None], "a sum that no decimal holds");
}

#[test]
fn a_bar_that_begins_out_of_order_counts_its_volume_from_the_last_tick_before_it() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], seconds(5));
    let ticks = [
        tick("AAPL", 10_000, 1, 100, 100),
        tick("AAPL", 121_000, 3, 100, 150),
        tick("AAPL", 118_000, 2, 100, 140),
    ];
    let mut candles = apply(&mut builder, &ticks);
    candles.extend(builder.open_candles());
    let volumes: Vec<Option<Decimal>> = candles.iter().map(|candle| candle.volume).collect();
    assert_eq!(volumes, [None, Some(Decimal::from(40)), Some(Decimal::from(10))]);
}

#[test]
fn intervals_can_be_changed_while_bars_of_others_are_in_progress() {
    let mut builder = CandleBuilder::new(&[Interval::Hour, Interval::Minute, Interval::Minute], seconds(5));
    apply(&mut builder, &[tick("AAPL", 0, 1, 100, 10)]);
    assert_eq!(builder.open_candles()[0].ticks, 1, "an interval named twice counts once");
    let minute = builder.open_candles()[0];
    let intervals = [Interval::FiveMinutes, Interval::Minute];
    let mut builder = CandleBuilder::restore(builder.state(), &intervals, seconds(5));
    assert_eq!(builder.open_candles(), [minute]);
    apply(&mut builder, &[tick("AAPL", 1_000, 2, 200, 30)]);
    let widths: Vec<_> = builder.open_candles().iter().map(|bar| (bar.interval, bar.ticks)).collect();
    assert_eq!(widths, [(Interval::Minute, 2), (Interval::FiveMinutes, 1)]);
    let restored = CandleBuilder::restore(builder.state(), &intervals, seconds(5));
    assert_eq!(restored, builder);
}

#[test]
fn a_closed_bar_stays_closed_when_intervals_change() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], seconds(0));
    let closed = apply(&mut builder, &[tick("AAPL", 0, 1, 100, 10), tick("AAPL", 60_000, 2, 100, 20)]);
    assert_eq!(closed.len(), 1);
    let mut builder = CandleBuilder::restore(builder.state(), &Interval::ALL, seconds(0));
    let late = tick("AAPL", 1_000, 3, 900, 15);
    assert_eq!(builder.apply(&late, late.received_at, &mut Vec::new()), Applied::Late);
    assert_eq!(builder.open_candles()[0].high, Decimal::ONE);
}

/// Arrival order, times within 4 s of it, two symbols, growing volume; none, all or most ticks with sizes; at noon, across
/// midnight in UTC, and across that of New York.
fn arrivals() -> impl Strategy<Value = Vec<Tick>> {
    // Bursts and pauses: after a pause, a bar often begins with ticks that come in the wrong order.
    let pause = prop_oneof![3 => 0_i64..3_000, 1 => 30_000_i64..90_000];
    let step = (pause, -4_000_i64..=0, 1_i64..10_000, prop::bool::ANY, 0.0..1.0);
    let share_of_sizes = prop::sample::select(vec![0.0, 0.9, 1.0]);
    let begin = prop::sample::select(vec![0, 30_000_000, 48_000_000]);
    (begin, share_of_sizes, prop::collection::vec(step, 1..200)).prop_map(|(begin, share, steps)| {
        let mut now = begin + 4_000;
        let mut ticks = Vec::new();
        for (seq, (step, early, cents, is_stock, draw)) in (1..).zip(steps) {
            now += step;
            let symbol = if is_stock { "AAPL" } else { "BTC/USDT" };
            let tick = tick(symbol, now + early, seq, cents, 10 * seq as i64);
            ticks.push(if draw < share { sized(tick, cents) } else { tick });
        }
        ticks
    })
}

/// Open, high, low, close, volume, ticks.
type Figures = (Decimal, Decimal, Decimal, Decimal, Option<Decimal>, u64);

/// What a candle is by its definition: the ticks of its interval, sorted, and the last one before them.
fn by_definition(ticks: &[Tick], interval: Interval) -> BTreeMap<(Symbol, DateTime<Utc>), Figures> {
    let mut buckets: BTreeMap<_, Vec<&Tick>> = BTreeMap::new();
    let day = |tick: &Tick| day_bounds(tick.asset_class(), tick.timestamp);
    for tick in ticks {
        let bucket = match interval {
            Interval::Day => (day(tick).label(), day(tick).start),
            _ => (interval.floor(tick.timestamp), interval.floor(tick.timestamp)),
        };
        buckets.entry((tick.symbol, bucket)).or_default().push(tick);
    }
    let order = |tick: &&Tick| (tick.timestamp, tick.seq);
    let figures = |symbol: Symbol, start: DateTime<Utc>, mut parts: Vec<&Tick>| {
        parts.sort_by_key(order);
        let (first, last) = (parts[0], parts[parts.len() - 1]);
        let before =
            ticks.iter().filter(|tick| tick.symbol == symbol && tick.timestamp < start).max_by_key(order);
        let sizes: Option<Decimal> = parts.iter().map(|tick| tick.size).sum();
        let volume = match before {
            _ if sizes.is_some() || symbol.asset_class() == AssetClass::Crypto => sizes,
            _ if last.volume.is_zero() => None,
            _ if interval == Interval::Day => Some(last.volume),
            Some(other) if day(other) == day(first) => {
                Some(last.volume - other.volume).filter(|grown| *grown >= Decimal::ZERO)
            }
            _ => None,
        };
        let prices = || parts.iter().map(|tick| tick.price);
        let (high, low) = (prices().max().unwrap(), prices().min().unwrap());
        (first.price, high, low, last.price, volume, parts.len() as u64)
    };
    let figures = |((symbol, (time, start)), parts)| ((symbol, time), figures(symbol, start, parts));
    buckets.into_iter().map(figures).collect()
}

proptest! {
    #[test]
    fn candles_are_what_their_definition_says(ticks in arrivals()) {
        let mut builder = CandleBuilder::new(&Interval::ALL, seconds(5));
        let mut candles = apply(&mut builder, &ticks);
        candles.extend(builder.open_candles());
        for interval in Interval::ALL {
            let built: BTreeMap<_, _> = candles
                .iter()
                .filter(|candle| candle.interval == interval)
                .map(|bar| ((bar.symbol, bar.time), (bar.open, bar.high, bar.low, bar.close, bar.volume, bar.ticks)))
                .collect();
            prop_assert_eq!(built, by_definition(&ticks, interval));
        }
    }

    #[test]
    fn known_volumes_of_minutes_add_up_to_what_the_running_total_grew(ticks in arrivals()) {
        let start = start() - TimeDelta::hours(1);
        let mut ticks: Vec<Tick> = ticks.into_iter().filter(|tick| tick.asset_class() == AssetClass::Stock).collect();
        ticks.sort_by_key(|tick| (tick.timestamp, tick.seq));
        // A running total in the order of time, as a venue quotes it, within one session.
        let ticks: Vec<Tick> = (0..).zip(ticks).map(|(n, tick)| {
            let time = start + TimeDelta::seconds(3 * n);
            let fields = TickFields { timestamp: time, volume: Decimal::from(7 * n), size: None, ..tick.into_fields() };
            Tick::new(fields).unwrap()
        }).collect();
        let mut builder = CandleBuilder::new(&[Interval::Minute], seconds(5));
        let mut candles = apply(&mut builder, &ticks);
        candles.extend(builder.open_candles());
        let total: Decimal = candles.iter().filter_map(|candle| candle.volume).sum();
        let of_first = candles.first().map_or(0, |candle| candle.ticks as i64);
        prop_assert_eq!(total, Decimal::from(7 * (ticks.len() as i64 - of_first)));
    }

    #[test]
    fn restored_from_its_state_it_goes_on_as_if_nothing_had_been(ticks in arrivals(), cut in 0_usize..200) {
        let cut = cut.min(ticks.len());
        let mut whole = CandleBuilder::new(&Interval::ALL, seconds(5));
        let expected = apply(&mut whole, &ticks);

        let mut before = CandleBuilder::new(&Interval::ALL, seconds(5));
        let mut candles = apply(&mut before, &ticks[..cut]);
        let text = serde_json::to_string(&before.state()).unwrap();
        let state = serde_json::from_str::<BuilderState>(&text).unwrap();
        let mut after = CandleBuilder::restore(state, &Interval::ALL, seconds(5));
        candles.extend(apply(&mut after, &ticks[cut..]));
        prop_assert_eq!(candles, expected);
        prop_assert_eq!(after.open_candles(), whole.open_candles());
    }
}
