use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use market::{
    Applied, AssetClass, BuilderState, Candle, CandleBuilder, CandleFields, Interval, Source, Symbol, Tick,
    TickFields, day_bounds,
};
use proptest::prelude::*;
use rust_decimal::Decimal;

fn start() -> DateTime<Utc> {
    "2026-01-13T15:30:00Z".parse().unwrap()
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
        change_percent: 0.0,
        source: Source::parse("test").unwrap(),
        received_at: time,
        seq,
    })
    .unwrap()
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
    (text(open), text(high), text(low), text(close), text(volume), ticks)
}

#[test]
fn a_bar_closes_when_a_tick_is_past_its_end_by_the_lateness() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], 5);
    let first =
        [tick("AAPL", 0, 1, 100, 10), tick("AAPL", 30_000, 2, 300, 25), tick("AAPL", 59_999, 3, 200, 40)];
    assert!(apply(&mut builder, &first).is_empty());
    assert!(apply(&mut builder, &[tick("AAPL", 64_999, 4, 250, 50)]).is_empty());
    let closed = apply(&mut builder, &[tick("AAPL", 65_000, 5, 260, 60)]);
    assert_eq!(closed.len(), 1);
    assert_eq!((closed[0].time, closed[0].is_final), (start(), true));
    // The first bar of all has nothing before it: its volume counts from its own first tick.
    assert_eq!(figures(&closed[0]), ("1".into(), "3".into(), "1".into(), "2".into(), "30".into(), 3));
    let open = builder.open_candles();
    // 60 at its last tick less 40 at the last tick before it.
    assert_eq!(figures(&open[0]), ("2.5".into(), "2.6".into(), "2.5".into(), "2.6".into(), "20".into(), 2));
}

#[test]
fn ticks_out_of_order_find_their_bar_until_it_is_closed_and_are_late_afterwards() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], 5);
    let mut closed = Vec::new();
    let mut apply = |tick: Tick, closed: &mut Vec<Candle>| builder.apply(&tick, tick.received_at, closed);
    assert_eq!(apply(tick("AAPL", 50_000, 2, 200, 20), &mut closed), Applied::Counted);
    assert_eq!(apply(tick("AAPL", 61_000, 4, 400, 40), &mut closed), Applied::Counted);
    assert_eq!(apply(tick("AAPL", 59_000, 3, 300, 30), &mut closed), Applied::Counted);
    assert_eq!(apply(tick("AAPL", 10_000, 1, 100, 10), &mut closed), Applied::Counted);
    assert_eq!(apply(tick("AAPL", 66_000, 5, 500, 50), &mut closed), Applied::Counted);
    assert_eq!(closed.len(), 1);
    assert_eq!(figures(&closed[0]), ("1".into(), "3".into(), "1".into(), "3".into(), "20".into(), 3));
    assert_eq!(apply(tick("AAPL", 58_000, 9, 900, 35), &mut closed), Applied::Late);
    assert_eq!(closed.len(), 1, "what is closed stays as it is");
    // The bar that follows learned the volume before it from the tick that came later: 50 - 30.
    assert_eq!(builder.open_candles()[0].volume, Decimal::from(20));
}

#[test]
fn a_quiet_series_is_closed_by_our_clock_in_its_own_time() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], 5);
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
    let new = || CandleBuilder::new(&[Interval::Minute], 5);
    let (mut gone, mut heir) = (new(), new());
    apply(&mut gone, &[tick("AAPL", 0, 1, 100, 10), tick("MSFT", 0, 2, 100, 10), tick("TSLA", 0, 3, 1, 1)]);
    apply(&mut heir, &[tick("MSFT", 2_000, 4, 200, 20)]);
    let is_ours = |symbol: Symbol| symbol.as_str() != "TSLA";
    assert_eq!(
        heir.inherit(gone.state(), is_ours),
        1,
        "MSFT has come further here, and TSLA belongs to others"
    );
    apply(&mut heir, &[tick("AAPL", 1_000, 5, 300, 30)]);
    let bars = heir.open_candles();
    assert_eq!(bars.iter().map(|bar| bar.symbol.as_str()).collect::<Vec<_>>(), ["AAPL", "MSFT"]);
    assert_eq!(figures(&bars[0]), ("1".into(), "3".into(), "1".into(), "3".into(), "20".into(), 2));
    let known = heir.clone();
    assert_eq!((heir.inherit(gone.state(), is_ours), heir == known), (0, true), "again");
    assert_eq!(
        CandleBuilder::new(&[Interval::Hour], 5).inherit(gone.state(), |_| true),
        0,
        "other intervals"
    );
    assert_eq!(heir.let_go(&gone.state(), |_| false), 0, "both have come further here");
    assert_eq!(gone.let_go(&heir.state(), |_| true), 2, "theirs are older");
    assert_eq!(gone.symbols().map(|symbol| symbol.to_string()).collect::<Vec<_>>(), ["TSLA"]);
    let as_far = gone.state();
    assert_eq!(gone.let_go(&as_far, |_| true), 0, "as far, and its own");
    assert_eq!(gone.let_go(&as_far, |_| false), 1, "as far, and the other's");
}

#[test]
fn a_clock_an_hour_off_or_ticks_that_could_not_come_close_no_bar_before_its_time() {
    for hours in [-1, 1] {
        let mut builder = CandleBuilder::new(&Interval::ALL, 5);
        let mut closed = Vec::new();
        let seen = start() + TimeDelta::hours(hours);
        builder.apply(&tick("AAPL", 10_000, 1, 100, 10), seen, &mut closed);
        let mut builder = CandleBuilder::restore(builder.state());
        let here = start() + TimeDelta::seconds(10);
        builder.see_all(here);
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

#[test]
fn a_stocks_volume_begins_anew_each_trading_day_and_a_rolling_one_never_counts_below_zero() {
    let day = 86_400_000;
    let mut builder = CandleBuilder::new(&[Interval::Day], 5);
    let ticks = [
        tick("AAPL", 0, 1, 100, 5_000),
        tick("AAPL", 1_000, 2, 100, 7_000),
        tick("AAPL", day, 3, 100, 300),
        tick("AAPL", day + 1_000, 4, 100, 900),
        tick("AAPL", 2 * day, 5, 100, 100),
    ];
    let closed = apply(&mut builder, &ticks);
    assert_eq!(
        closed.iter().map(|bar| bar.volume).collect::<Vec<_>>(),
        [Decimal::from(2_000), Decimal::from(900)]
    );
    assert_eq!(closed[0].time, "2026-01-13T00:00:00Z".parse::<DateTime<Utc>>().unwrap());

    let mut builder = CandleBuilder::new(&[Interval::Minute], 0);
    let ticks = [
        tick("BTC/USDT", 0, 1, 100, 5_000),
        tick("BTC/USDT", 61_000, 2, 100, 4_000),
        tick("BTC/USDT", 121_000, 3, 100, 4_100),
        tick("BTC/USDT", 181_000, 4, 100, 4_100),
    ];
    let volumes: Vec<Decimal> = apply(&mut builder, &ticks).iter().map(|bar| bar.volume).collect();
    assert_eq!(volumes, [Decimal::ZERO, Decimal::ZERO, Decimal::from(100)]);
}

#[test]
fn a_bar_that_begins_out_of_order_counts_its_volume_from_the_last_tick_before_it() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], 5);
    let ticks = [
        tick("AAPL", 10_000, 1, 100, 100),
        tick("AAPL", 121_000, 3, 100, 150),
        tick("AAPL", 118_000, 2, 100, 140),
    ];
    let mut candles = apply(&mut builder, &ticks);
    candles.extend(builder.open_candles());
    let volumes: Vec<String> = candles.iter().map(|bar| bar.volume.to_string()).collect();
    assert_eq!(volumes, ["0", "40", "10"]);
}

#[test]
fn intervals_can_be_changed_while_bars_of_others_are_in_progress() {
    let mut builder = CandleBuilder::new(&[Interval::Hour, Interval::Minute, Interval::Minute], 5);
    apply(&mut builder, &[tick("AAPL", 0, 1, 100, 10)]);
    assert_eq!(builder.open_candles()[0].ticks, 1, "an interval named twice counts once");
    let minute = builder.open_candles()[0];
    builder.set_intervals(&[Interval::FiveMinutes, Interval::Minute]);
    assert_eq!(builder.open_candles(), [minute]);
    apply(&mut builder, &[tick("AAPL", 1_000, 2, 200, 30)]);
    let widths: Vec<_> = builder.open_candles().iter().map(|bar| (bar.interval, bar.ticks)).collect();
    assert_eq!(widths, [(Interval::Minute, 2), (Interval::FiveMinutes, 1)]);
    let restored = CandleBuilder::restore(builder.state());
    assert_eq!(restored, builder);
}

#[test]
fn a_closed_bar_stays_closed_when_intervals_change() {
    let mut builder = CandleBuilder::new(&[Interval::Minute], 0);
    let closed = apply(&mut builder, &[tick("AAPL", 0, 1, 100, 10), tick("AAPL", 60_000, 2, 100, 20)]);
    assert_eq!(closed.len(), 1);
    builder.set_intervals(&Interval::ALL);
    let late = tick("AAPL", 1_000, 3, 900, 15);
    assert_eq!(builder.apply(&late, late.received_at, &mut Vec::new()), Applied::Late);
    assert_eq!(builder.open_candles()[0].high, Decimal::ONE);
}

/// Arrival order, times within 4 s of it, two symbols, growing volume; at noon, across midnight in UTC, and across that
/// of New York.
fn arrivals() -> impl Strategy<Value = Vec<Tick>> {
    // Bursts and pauses: after a pause, a bar often begins with ticks that come in the wrong order.
    let pause = prop_oneof![3 => 0_i64..3_000, 1 => 30_000_i64..90_000];
    let step = (pause, -4_000_i64..=0, 1_i64..10_000, prop::bool::ANY);
    let begin = prop::sample::select(vec![0, 30_000_000, 48_000_000]);
    (begin, prop::collection::vec(step, 1..200)).prop_map(|(begin, steps)| {
        let mut now = begin + 4_000;
        let mut ticks = Vec::new();
        for (seq, (step, early, cents, is_stock)) in (1..).zip(steps) {
            now += step;
            let symbol = if is_stock { "AAPL" } else { "BTC/USDT" };
            ticks.push(tick(symbol, now + early, seq, cents, 10 * seq as i64));
        }
        ticks
    })
}

/// Open, high, low, close, volume, ticks.
type Figures = (Decimal, Decimal, Decimal, Decimal, Decimal, u64);

/// What a candle is by its definition: the ticks of each bucket, sorted, and the last one before them.
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
        let base = match before {
            None => first.volume,
            Some(other) if symbol.asset_class() == AssetClass::Stock && day(other) != day(first) => {
                Decimal::ZERO
            }
            Some(other) => other.volume,
        };
        let prices = || parts.iter().map(|tick| tick.price);
        let (high, low) = (prices().max().unwrap(), prices().min().unwrap());
        (first.price, high, low, last.price, (last.volume - base).max(Decimal::ZERO), parts.len() as u64)
    };
    let figures = |((symbol, (time, start)), parts)| ((symbol, time), figures(symbol, start, parts));
    buckets.into_iter().map(figures).collect()
}

proptest! {
    #[test]
    fn candles_are_what_their_definition_says(ticks in arrivals()) {
        let mut builder = CandleBuilder::new(&Interval::ALL, 5);
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
    fn volumes_add_up_to_what_the_cumulative_figure_grew(ticks in arrivals()) {
        let mut ticks: Vec<Tick> = ticks.into_iter().filter(|tick| tick.asset_class() == AssetClass::Crypto).collect();
        ticks.sort_by_key(|tick| (tick.timestamp, tick.seq));
        // Cumulative in the order of time, as a venue quotes it.
        let ticks: Vec<Tick> = (0..).zip(ticks).map(|(n, tick)| {
            Tick::new(TickFields { volume: Decimal::from(7 * n), ..tick.into_fields() }).unwrap()
        }).collect();
        let mut builder = CandleBuilder::new(&[Interval::Minute], 5);
        let mut candles = apply(&mut builder, &ticks);
        candles.extend(builder.open_candles());
        let total: Decimal = candles.iter().map(|candle| candle.volume).sum();
        prop_assert_eq!(total, Decimal::from(7 * ticks.len().saturating_sub(1)));
    }

    #[test]
    fn restored_from_its_state_it_goes_on_as_if_nothing_had_been(ticks in arrivals(), cut in 0_usize..200) {
        let cut = cut.min(ticks.len());
        let mut whole = CandleBuilder::new(&Interval::ALL, 5);
        let expected = apply(&mut whole, &ticks);

        let mut before = CandleBuilder::new(&Interval::ALL, 5);
        let mut candles = apply(&mut before, &ticks[..cut]);
        let text = serde_json::to_string(&before.state()).unwrap();
        let mut after = CandleBuilder::restore(serde_json::from_str::<BuilderState>(&text).unwrap());
        candles.extend(apply(&mut after, &ticks[cut..]));
        prop_assert_eq!(candles, expected);
        prop_assert_eq!(after.open_candles(), whole.open_candles());
    }
}
