use archive::{Kind, Selection};
use chrono::DateTime;
use live_store::StoredTick;
use market::{Candle, CandleFields, Interval, Source, Tick, TickFields};
use proptest::prelude::*;
use rust_decimal::Decimal;

use crate::stores::{at, candle, contents, export, export_selected, import, place, place_with, symbol, tick};

const SYMBOLS: [&str; 3] = ["AAPL", "BRK.B", "BTC/USDT"];
const SOURCES: [&str; 2] = ["binance", "yahoo-2"];

/// Everything from a satoshi to 15 digits.
fn price() -> impl Strategy<Value = Decimal> {
    (1_i64..1_000_000_000_000_000, 0_u32..12).prop_map(|(digits, scale)| Decimal::new(digits, scale))
}

/// Mostly within a few days, so that days and pages have neighbours; sometimes in another century.
fn micros() -> impl Strategy<Value = i64> {
    let near = 1_768_000_000_000_000_i64..1_768_400_000_000_000;
    prop_oneof![9 => near, 1 => -60_000_000_000_000_000_i64..250_000_000_000_000_000]
}

fn a_tick() -> impl Strategy<Value = StoredTick> {
    let names = (0..SYMBOLS.len(), 0..SOURCES.len());
    let prices = (price(), price(), price(), price(), any::<f64>().prop_filter("finite", |x| x.is_finite()));
    let times = (micros(), micros(), micros());
    let numbers = (any::<u64>(), any::<i32>(), any::<u64>(), prop::option::of(price()));
    (names, prices, times, numbers).prop_map(|(names, prices, times, (seq, partition, offset, size))| {
        let time = |micros| DateTime::from_timestamp_micros(micros).expect("in range");
        let (price, volume, high, low, change_percent) = prices;
        let fields = TickFields {
            symbol: symbol(SYMBOLS[names.0]),
            timestamp: time(times.0),
            price,
            volume,
            open: price,
            high: high.max(low),
            low: low.min(high),
            size,
            change_percent,
            source: Source::parse(SOURCES[names.1]).expect("a source"),
            received_at: time(times.1),
            seq,
        };
        StoredTick {
            tick: Tick::new(fields).expect("a tick"),
            processed_at: time(times.2),
            partition,
            offset,
        }
    })
}

fn a_candle() -> impl Strategy<Value = Candle> {
    let names =
        (0..SYMBOLS.len(), 0..4_usize, prop::sample::select(vec!["yahoo", "binance", "binance/ticks"]));
    (
        names,
        micros(),
        ([price(), price(), price(), price()], prop::option::of(price())),
        any::<u64>(),
        any::<bool>(),
    )
        .prop_map(|(names, time, (mut prices, volume), ticks, is_final)| {
            prices.sort();
            let [low, open, close, high] = prices;
            Candle::new(CandleFields {
                symbol: symbol(SYMBOLS[names.0]),
                interval: Interval::ALL[names.1],
                time: DateTime::from_timestamp_micros(time).expect("in range"),
                open,
                high,
                low,
                close,
                volume,
                ticks,
                source: names.2.parse().expect("a source of bars"),
                is_final,
            })
            .expect("a candle")
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn what_was_exported_comes_back_as_it_was(
        ticks in prop::collection::vec(a_tick(), 0..60),
        bars in prop::collection::vec(a_candle(), 0..60),
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (from, to) = (place_with(&ticks, &bars).await, place().await);
            let (there, back) = (from.folder.path().join("there"), to.folder.path().join("back"));
            let manifest = export(&*from.store, &there).await.expect("exported").manifest;
            let counts = import(&there, &*to.store).await.expect("imported").counts;
            let (before, after) = (contents(&*from.store).await, contents(&*to.store).await);
            assert_eq!(before, after);
            assert_eq!((counts.of(Kind::TICKS).new, counts.of(Kind::CANDLES).new), (before.0.len() as u64, before.1.len() as u64));
            assert_eq!((manifest.totals.of_kind(Kind::TICKS), manifest.totals.of_kind(Kind::CANDLES)), (counts.of(Kind::TICKS).all(), counts.of(Kind::CANDLES).all()));
            let again = export(&*to.store, &back).await.expect("exported").manifest;
            assert_eq!(manifest.totals, again.totals);

            // Once more changes nothing.
            let counts = import(&there, &*to.store).await.expect("imported").counts;
            assert_eq!((counts.of(Kind::TICKS).new, counts.of(Kind::CANDLES).new), (0, 0));
            assert_eq!((counts.of(Kind::TICKS).there, counts.of(Kind::CANDLES).there), (manifest.totals.of_kind(Kind::TICKS), manifest.totals.of_kind(Kind::CANDLES)));
            assert_eq!(contents(&*to.store).await, before);
        });
    }
}

/// Twelve thousand minutes of two makers, and five thousand ticks at each of two moments.
fn crowded() -> (Vec<StoredTick>, Vec<Candle>) {
    let ticks = (0..10_000).map(|n| tick("AAPL", "yahoo", n, at((n % 2) as i64))).collect();
    let minutes = (0..12_000).flat_map(|n| {
        ["binance", "binance/ticks"].map(|source| candle("BTC/USDT", Interval::Minute, at(60 * n), source))
    });
    (ticks, minutes.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_moment_are_not_lost_between_pages() {
    let (ticks, bars) = crowded();
    let (from, to) = (place_with(&ticks, &bars).await, place().await);
    let folder = from.folder.path().join("archive");
    let totals = export(&*from.store, &folder).await.expect("exported").manifest.totals;
    assert_eq!((totals.of_kind(Kind::TICKS), totals.of_kind(Kind::CANDLES)), (10_000, 24_000));
    import(&folder, &*to.store).await.expect("imported");
    assert!(contents(&*from.store).await == contents(&*to.store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symbol_of_which_only_bars_are_left_is_archived() {
    let from = place_with(
        &[tick("AAPL", "yahoo", 1, at(0))],
        &[candle("MSFT", Interval::Day, at(-500_000_000), "yahoo")],
    )
    .await;
    let to = place().await;
    let folder = from.folder.path().join("archive");
    export(&*from.store, &folder).await.expect("exported");
    import(&folder, &*to.store).await.expect("imported");
    assert_eq!(contents(&*to.store).await, contents(&*from.store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_asked_for_is_archived() {
    let day = 86_400;
    let ticks: Vec<_> = ["AAPL", "MSFT"]
        .into_iter()
        .flat_map(|name| (0..5).map(move |n| tick(name, "yahoo", n as u64, at(n * day))))
        .collect();
    let bars: Vec<_> = (0..5).map(|n| candle("AAPL", Interval::Day, at(n * day), "yahoo")).collect();
    let from = place_with(&ticks, &bars).await;
    let selections = [
        (Selection { symbols: vec![symbol("MSFT")], ..Selection::default() }, (5, 0)),
        (Selection { kinds: vec![Kind::CANDLES], ..Selection::default() }, (0, 5)),
        (Selection { from: Some(at(day)), to: Some(at(3 * day)), ..Selection::default() }, (4, 2)),
        (Selection { from: Some(at(3 * day)), to: Some(at(day)), ..Selection::default() }, (0, 0)),
    ];
    for (number, (selection, expected)) in selections.into_iter().enumerate() {
        let folder = from.folder.path().join(format!("archive-{number}"));
        let totals =
            export_selected(&*from.store, &folder, &selection).await.expect("exported").manifest.totals;
        assert_eq!((totals.of_kind(Kind::TICKS), totals.of_kind(Kind::CANDLES)), expected, "{selection:?}");
    }
}
