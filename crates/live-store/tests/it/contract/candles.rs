use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, LiveStore, PruneRange};
use market::{Candle, Interval};

use crate::{
    place::Place,
    samples::{all_ticks, at, candle, changed, everything_of, symbol, tick_of, ticks, time},
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
    let all = everything_of("BTC/USDT");
    let before = PruneRange { stored_before: at(90), ..all };
    assert_eq!(store.prune_candles(&before).await.expect("pruned"), 0);
    assert_eq!(
        read(&*store, &minutes(1000)).await,
        candles,
        "candles stored just now are kept, however old their day"
    );
    let some = PruneRange { from: at(10), to: at(20), ..all };
    assert_eq!(store.prune_candles(&some).await.expect("pruned"), 10);
    let oldest = async |from| store.oldest_minute(symbol("BTC/USDT"), from).await.expect("read");
    assert_eq!(oldest(DateTime::<Utc>::MIN_UTC).await, Some(at(0)));
    assert_eq!(oldest(at(10)).await, Some(at(20)));
    assert_eq!(oldest(at(100)).await, None);
    assert_eq!(store.prune_candles(&all).await.expect("pruned"), 90);
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

pub(crate) async fn minutes_of_which_one_was_stored_later_all_stay(place: impl Place) {
    let store = place.open().await;
    let minute = |n: i64| candle(Interval::Minute, at(60 * n), "binance", 100);
    store.write_candles(&[minute(0), minute(1)]).await.expect("stored");
    let soon = Utc::now();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while Utc::now() - soon < TimeDelta::milliseconds(5) && std::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    store.write_candles(&[minute(2)]).await.expect("stored");
    let all = everything_of("BTC/USDT");
    let mixed = PruneRange { stored_before: soon + TimeDelta::milliseconds(3), ..all };
    assert_eq!(store.prune_candles(&mixed).await.expect("pruned"), 0);
    assert_eq!(read(&*store, &minutes(10)).await, [minute(0), minute(1), minute(2)]);
    let first = PruneRange { to: at(120), ..mixed };
    assert_eq!(store.prune_candles(&first).await.expect("pruned"), 2);
}
