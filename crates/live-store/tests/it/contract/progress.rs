use chrono::{DateTime, Utc};
use live_store::{CandleQuery, LiveStore, Pruned};
use market::{Candle, Interval};

use crate::{
    place::Place,
    samples::{all_ticks, at, candle, symbol, tick_of, ticks, time},
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
    let built = Candle { is_final: false, ..candle(Interval::Minute, at(0), "binance/ticks", 101) };
    let quoted = candle(Interval::Minute, at(0), "binance", 102);
    let wider = candle(Interval::FiveMinutes, at(0), "binance", 103);
    store.write_candles(&[built, wider, quoted]).await.expect("stored");
    assert_eq!(read(&*store, &minutes(10)).await, [quoted, built], "both makers are kept, by name");

    let closed = Candle { close: 99.into(), low: 98.into(), ticks: 11, is_final: true, ..built };
    store.write_candles(&[closed, closed]).await.expect("stored");
    store.write_candles(&[closed]).await.expect("stored again");
    assert_eq!(read(&*store, &minutes(10)).await, [quoted, closed]);
    let wide = CandleQuery { interval: Interval::FiveMinutes, ..minutes(10) };
    assert_eq!(read(&*store, &wide).await, [wider]);
}

pub(crate) async fn the_newest_bars_of_a_range_come_oldest_first(place: impl Place) {
    let store = place.open().await;
    let bars: Vec<_> = (0..150).map(|n| candle(Interval::Minute, at(n * 60), "binance", 100 + n)).collect();
    store.write_candles(&bars).await.expect("stored");
    assert_eq!(read(&*store, &minutes(1000)).await, bars);
    assert_eq!(read(&*store, &minutes(40)).await, bars[110..]);
    assert_eq!(read(&*store, &minutes(0)).await, bars[149..], "a limit of 0 counts as 1");
    let range = CandleQuery { from: at(60), to: at(600), ..minutes(1000) };
    assert_eq!(read(&*store, &range).await, bars[1..10]);
    assert_eq!(read(&*store, &CandleQuery { limit: 2, ..range }).await, bars[8..10]);
}

pub(crate) async fn pruning_removes_what_is_older_and_nothing_else(place: impl Place) {
    let store = place.open().await;
    let crypto: Vec<_> = (0..100).map(|n| tick_of("BTC/USDT", n, at(n as i64))).collect();
    // More than one step of pruning.
    store.write_ticks(&ticks(0..5000)).await.expect("stored");
    store.write_ticks(&crypto).await.expect("stored");
    let bars: Vec<_> = (0..100).map(|n| candle(Interval::Minute, at(n), "binance", 100)).collect();
    let old_hour = candle(Interval::Hour, time("2020-01-01T00:00:00Z"), "binance", 100);
    store.write_candles(&bars).await.expect("stored");
    store.write_candles(&[old_hour]).await.expect("stored");
    let kept = store.claim("consumer", &[("stock-prices".into(), 0)]).await.expect("claimed");

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
    assert_eq!(store.checkpoints("consumer").await.expect("read"), kept);
}
