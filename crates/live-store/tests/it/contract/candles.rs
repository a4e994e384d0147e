use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, LiveStore};
use market::{Candle, Interval};

use crate::{
    place::Place,
    samples::{all_ticks, at, candle, changed, symbol, tick_of, ticks, time},
};

fn minutes(limit: usize) -> CandleQuery {
    CandleQuery {
        symbol: symbol("BTC/USDT"),
        interval: Interval::Minute,
        from: DateTime::<Utc>::MIN_UTC,
        to: DateTime::<Utc>::MAX_UTC,
        limit,
    }
}

async fn read(store: &dyn LiveStore, query: &CandleQuery) -> Vec<Candle> {
    store.candles(query).await.expect("candles")
}

pub(crate) async fn a_candle_replaces_that_of_its_identity_and_no_other(place: impl Place) {
    let store = place.open().await;
    let built =
        changed(candle(Interval::Minute, at(0), "binance/ticks", 101), |fields| fields.is_final = false);
    let quoted = candle(Interval::Minute, at(0), "binance", 102);
    let wider = candle(Interval::FiveMinutes, at(0), "binance", 103);
    store.write_candles(&[built, wider, quoted]).await.expect("stored");
    assert_eq!(read(&*store, &minutes(10)).await, [quoted, built], "both makers are kept, by name");

    let closed = changed(built, |fields| {
        (fields.close, fields.low) = (99.into(), 98.into());
        (fields.ticks, fields.is_final) = (11, true);
    });
    store.write_candles(&[closed, closed]).await.expect("stored");
    store.write_candles(&[closed]).await.expect("stored again");
    assert_eq!(read(&*store, &minutes(10)).await, [quoted, closed]);
    let unknown = changed(closed, |fields| fields.volume = None);
    store.write_candles(&[unknown]).await.expect("stored");
    assert_eq!(read(&*store, &minutes(10)).await, [quoted, unknown], "no old volume is left");
    let wide = CandleQuery { interval: Interval::FiveMinutes, ..minutes(10) };
    assert_eq!(read(&*store, &wide).await, [wider]);
}

pub(crate) async fn the_newest_candles_of_a_range_come_oldest_first(place: impl Place) {
    let store = place.open().await;
    let candles: Vec<_> =
        (0..150).map(|n| candle(Interval::Minute, at(n * 60), "binance", 100 + n)).collect();
    store.write_candles(&candles).await.expect("stored");
    assert_eq!(read(&*store, &minutes(1000)).await, candles);
    assert_eq!(read(&*store, &minutes(40)).await, candles[110..]);
    assert_eq!(read(&*store, &minutes(0)).await, candles[149..], "a limit of 0 counts as 1");
    let range = CandleQuery { from: at(60), to: at(600), ..minutes(1000) };
    assert_eq!(read(&*store, &range).await, candles[1..10]);
    assert_eq!(read(&*store, &CandleQuery { limit: 2, ..range }).await, candles[8..10]);
}

pub(crate) async fn pruning_removes_old_minutes_and_nothing_else(place: impl Place) {
    let store = place.open().await;
    let minute = |n| candle(Interval::Minute, at(n), "binance", 100);
    let candles: Vec<_> = (0..100).map(minute).collect();
    let old_hour = candle(Interval::Hour, time("2020-01-01T00:00:00Z"), "binance", 100);
    store.write_candles(&candles).await.expect("stored");
    store.write_candles(&[old_hour]).await.expect("stored");
    store.write_ticks(&ticks(0..10)).await.expect("stored");
    assert_eq!(store.prune_candles(at(90)).await.expect("pruned"), 0);
    assert_eq!(
        read(&*store, &minutes(1000)).await,
        candles,
        "candles stored just now are kept, however old their day"
    );
    assert_eq!(store.prune_candles(DateTime::<Utc>::MAX_UTC).await.expect("pruned"), 100);
    assert_eq!(read(&*store, &minutes(1000)).await, []);
    let hours = CandleQuery { interval: Interval::Hour, ..minutes(10) };
    assert_eq!(read(&*store, &hours).await, [old_hour], "coarser candles stay for ever");
    assert_eq!(all_ticks(&*store, "AAPL", 100).await, ticks(0..10));
}

pub(crate) async fn every_symbol_with_ticks_or_candles_is_named_once(place: impl Place) {
    let store = place.open().await;
    let rows: Vec<_> =
        ["MSFT", "AAPL", "BRK.B"].iter().zip(0..).map(|(name, n)| tick_of(name, n, at(0))).collect();
    store.write_ticks(&rows).await.expect("stored");
    store.write_ticks(&ticks(50..60)).await.expect("stored");
    let minute = |n: i64| candle(Interval::Minute, at(60 * n), "binance", 100);
    // Candles of a symbol without ticks, of one with ticks, and of several widths and makers.
    let of_apple =
        changed(candle(Interval::Day, at(0), "yahoo", 100), |fields| fields.symbol = symbol("AAPL"));
    let candles = [minute(0), minute(1), candle(Interval::Hour, at(0), "binance/ticks", 90), of_apple];
    store.write_candles(&candles).await.expect("stored");
    let all = store.symbols().await.expect("read");
    assert_eq!(all, ["AAPL", "BRK.B", "BTC/USDT", "MSFT"].map(symbol));
    assert_eq!(store.tick_symbols().await.expect("read"), ["AAPL", "BRK.B", "MSFT"].map(symbol));
    assert_eq!(store.candle_symbols().await.expect("read"), ["AAPL", "BTC/USDT"].map(symbol));
}

pub(crate) async fn pruning_removes_whole_trading_days(place: impl Place) {
    let store = place.open().await;
    let minutes_of = |day: &str| -> Vec<Candle> {
        let midnight = time(&format!("{day}T00:00:00Z"));
        (0..24).map(|n| candle(Interval::Minute, midnight + TimeDelta::hours(n), "binance", 100)).collect()
    };
    let (first, second) = (minutes_of("2199-01-13"), minutes_of("2199-01-14"));
    store.write_candles(&[first.clone(), second.clone()].concat()).await.expect("stored");
    let all = CandleQuery { to: time("2200-01-01T00:00:00Z"), ..minutes(100) };
    assert_eq!(store.prune_candles(time("2199-01-13T23:59:00Z")).await.expect("pruned"), 0);
    assert_eq!(read(&*store, &all).await, [first, second.clone()].concat());
    assert_eq!(store.prune_candles(time("2199-01-14T12:00:00Z")).await.expect("pruned"), 24);
    assert_eq!(read(&*store, &all).await, second, "the second day is not over");
}
