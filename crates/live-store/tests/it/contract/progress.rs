use chrono::{DateTime, Utc};
use live_store::{CandleQuery, Checkpoint, LiveStore, LiveStoreError, Pruned};
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
    store.candles(query).await.expect("bars")
}

pub(crate) async fn a_bar_replaces_that_of_its_identity_and_no_other(place: impl Place) {
    let store = place.open().await;
    let built =
        changed(candle(Interval::Minute, at(0), "binance/ticks", 101), |fields| fields.is_final = false);
    let quoted = candle(Interval::Minute, at(0), "binance", 102);
    let wider = candle(Interval::FiveMinutes, at(0), "binance", 103);
    store.write_progress(&[built, wider, quoted], &[]).await.expect("stored");
    assert_eq!(read(&*store, &minutes(10)).await, [quoted, built], "both makers are kept, by name");

    let closed = changed(built, |fields| {
        (fields.close, fields.low) = (99.into(), 98.into());
        (fields.ticks, fields.is_final) = (11, true);
    });
    store.write_progress(&[closed, closed], &[]).await.expect("stored");
    store.write_progress(&[closed], &[]).await.expect("stored again");
    assert_eq!(read(&*store, &minutes(10)).await, [quoted, closed]);
    let unknown = changed(closed, |fields| fields.volume = None);
    store.write_progress(&[unknown], &[]).await.expect("stored");
    assert_eq!(read(&*store, &minutes(10)).await, [quoted, unknown], "no old volume is left");
    let wide = CandleQuery { interval: Interval::FiveMinutes, ..minutes(10) };
    assert_eq!(read(&*store, &wide).await, [wider]);
}

pub(crate) async fn the_newest_bars_of_a_range_come_oldest_first(place: impl Place) {
    let store = place.open().await;
    let bars: Vec<_> = (0..150).map(|n| candle(Interval::Minute, at(n * 60), "binance", 100 + n)).collect();
    store.write_progress(&bars, &[]).await.expect("stored");
    assert_eq!(read(&*store, &minutes(1000)).await, bars);
    assert_eq!(read(&*store, &minutes(40)).await, bars[110..]);
    assert_eq!(read(&*store, &minutes(0)).await, bars[149..], "a limit of 0 counts as 1");
    let range = CandleQuery { from: at(60), to: at(600), ..minutes(1000) };
    assert_eq!(read(&*store, &range).await, bars[1..10]);
    assert_eq!(read(&*store, &CandleQuery { limit: 2, ..range }).await, bars[8..10]);
}

fn checkpoint(partition: i32, next_offset: u64, state: &str) -> Checkpoint {
    Checkpoint {
        processor: "consumer".to_owned(),
        topic: "stock-prices".to_owned(),
        partition,
        next_offset,
        state: state.to_owned(),
    }
}

pub(crate) async fn checkpoints_only_go_forward(place: impl Place) {
    let store = place.open().await;
    let other = Checkpoint { processor: "alerts".to_owned(), ..checkpoint(0, 77, "{}") };
    let start = [checkpoint(0, 10, "a"), checkpoint(1, 5, "b"), other.clone()];
    store.write_progress(&[], &start).await.expect("stored");
    let bar = candle(Interval::Minute, at(0), "binance", 101);
    let next = [checkpoint(0, 9, "late"), checkpoint(1, 6, "new"), checkpoint(2, 0, "first")];
    store.write_progress(&[bar], &next).await.expect("a late one is no error");
    let expected = [checkpoint(0, 10, "a"), checkpoint(1, 6, "new"), checkpoint(2, 0, "first")];
    assert_eq!(store.checkpoints("consumer").await.expect("read"), expected);
    assert_eq!(store.checkpoints("alerts").await.expect("read"), [other]);
    assert_eq!(read(&*store, &minutes(10)).await, [bar]);

    store.write_progress(&[], &[checkpoint(0, 10, "same offset")]).await.expect("stored");
    assert_eq!(store.checkpoints("consumer").await.expect("read")[0].state, "same offset");

    let error = store.write_progress(&[], &[checkpoint(0, u64::MAX, "")]).await.expect_err("refused");
    assert!(matches!(error, LiveStoreError::Refused { .. }), "{error}");
}

pub(crate) async fn a_reset_takes_checkpoints_back_and_from_there_they_go_forward(place: impl Place) {
    let store = place.open().await;
    let start = [checkpoint(0, 10, "a"), checkpoint(1, 5, "b")];
    store.write_progress(&[], &start).await.expect("stored");
    let reset = [checkpoint(0, 0, "anew"), checkpoint(2, 3, "new")];
    store.reset_checkpoints(&reset).await.expect("reset");
    store.reset_checkpoints(&reset).await.expect("reset again");
    store.reset_checkpoints(&[]).await.expect("nothing to reset");
    let expected = [reset[0].clone(), start[1].clone(), reset[1].clone()];
    assert_eq!(store.checkpoints("consumer").await.expect("read"), expected);
    store.write_progress(&[], &[checkpoint(0, 4, "on"), checkpoint(2, 2, "late")]).await.expect("stored");
    let expected = [checkpoint(0, 4, "on"), start[1].clone(), reset[1].clone()];
    assert_eq!(store.checkpoints("consumer").await.expect("read"), expected);
    let error = store.reset_checkpoints(&[checkpoint(0, u64::MAX, "")]).await.expect_err("refused");
    assert!(matches!(error, LiveStoreError::Refused { .. }), "{error}");
}

pub(crate) async fn pruning_removes_what_is_older_and_nothing_else(place: impl Place) {
    let store = place.open().await;
    let crypto: Vec<_> = (0..100).map(|n| tick_of("BTC/USDT", n, at(n as i64))).collect();
    // More than one step of pruning.
    store.write_ticks(&ticks(0..5000)).await.expect("stored");
    store.write_ticks(&crypto).await.expect("stored");
    let bars: Vec<_> = (0..100).map(|n| candle(Interval::Minute, at(n), "binance", 100)).collect();
    let old_hour = candle(Interval::Hour, time("2020-01-01T00:00:00Z"), "binance", 100);
    store.write_progress(&bars, &[checkpoint(0, 1, "kept")]).await.expect("stored");
    store.write_progress(&[old_hour], &[]).await.expect("stored");

    assert_eq!(store.prune(at(0)).await.expect("pruned"), Pruned::default());
    let pruned = store.prune(at(90)).await.expect("pruned");
    assert_eq!(pruned, Pruned { ticks: 90 + 90, candles: 0 });
    assert_eq!(all_ticks(&*store, "AAPL", 5000).await, ticks(90..5000));
    assert_eq!(all_ticks(&*store, "BTC/USDT", 5000).await, crypto[90..]);
    assert_eq!(
        read(&*store, &minutes(1000)).await,
        bars,
        "bars stored just now are kept, however old their day"
    );
    let hours = CandleQuery { interval: Interval::Hour, ..minutes(10) };
    assert_eq!(read(&*store, &hours).await, [old_hour], "coarser bars stay for ever");

    let all = store.prune(DateTime::<Utc>::MAX_UTC).await.expect("pruned");
    assert_eq!(all, Pruned { ticks: 4910 + 10, candles: 100 });
    assert_eq!(store.latest_ticks().await.expect("read"), []);
    assert_eq!(store.checkpoints("consumer").await.expect("read"), [checkpoint(0, 1, "kept")]);
}
