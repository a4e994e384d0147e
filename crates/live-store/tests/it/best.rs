//! Of every bucket the best bar.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, LiveStore, best_candles};
use market::{Candle, Interval, Symbol};
use rust_decimal::Decimal;

use crate::{
    place::{Place, SqlitePlace},
    samples::{candle, changed, everything_of, symbol, time},
};

const NOON: &str = "2026-01-13T12:00:00Z";

fn query(interval: Interval, limit: usize) -> CandleQuery {
    let (from, to) = (time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z"));
    CandleQuery { symbol: symbol("BTC/USDT"), interval, from, to, limit }
}

fn minute(at: i64, source: &str, close: i64) -> Candle {
    candle(Interval::Minute, time(NOON) + TimeDelta::minutes(at), source, close)
}

async fn store_with(bars: &[Candle]) -> (SqlitePlace, Arc<dyn LiveStore>) {
    let place = SqlitePlace::new();
    let store = place.open().await;
    store.write_candles(bars).await.expect("stored");
    (place, store)
}

async fn best(store: &dyn LiveStore, query: &CandleQuery) -> Vec<Candle> {
    best_candles(store, query, &[], time("2026-01-13T12:11:00Z")).await.expect("bars")
}

#[tokio::test]
async fn a_quoted_bar_beats_minutes_and_minutes_fill_the_rest() {
    let width = TimeDelta::minutes(5);
    let quoted = candle(Interval::FiveMinutes, time(NOON), "binance", 777);
    let built = candle(Interval::FiveMinutes, time(NOON), "binance/ticks", 778);
    let only_built = candle(Interval::FiveMinutes, time(NOON) - width, "binance/ticks", 779);
    let mut bars = vec![quoted, built, only_built];
    bars.extend((0..11).map(|n| minute(n, "binance", 100 + n)));
    bars.extend((0..11).map(|n| minute(n, "binance/ticks", 200 + n)));
    let (_place, store) = store_with(&bars).await;

    let found = best(&*store, &query(Interval::FiveMinutes, 100)).await;
    let times: Vec<_> = found.iter().map(|bar| bar.time).collect();
    assert_eq!(times, [time(NOON) - width, time(NOON), time(NOON) + width, time(NOON) + width * 2]);
    assert_eq!(found[..2], [only_built, quoted]);
    assert_eq!(found[2].close, Decimal::from(109), "the last of the quoted minutes");
    assert_eq!((found[2].ticks, found[2].source.to_string()), (35, "binance".to_owned()));
    assert_eq!(found[2].volume, Some(Decimal::new(75, 1)));
    assert!(found[2].is_final);
    assert!(!found[3].is_final, "its five minutes are not over");

    assert_eq!(best(&*store, &query(Interval::FiveMinutes, 2)).await, found[2..], "the newest");
    assert_eq!(best(&*store, &query(Interval::FiveMinutes, 0)).await, found[3..]);
    let range = CandleQuery { from: time(NOON), to: time(NOON) + width, ..query(Interval::FiveMinutes, 100) };
    assert_eq!(best(&*store, &range).await, found[1..2]);
    let inside = CandleQuery { from: time(NOON) + TimeDelta::seconds(1), ..range };
    assert_eq!(
        best(&*store, &inside).await,
        [],
        "a bucket that opened before the range is not shown in part"
    );
}

#[tokio::test]
async fn minutes_are_shown_once_each() {
    let mut bars: Vec<_> = (0..100).map(|n| minute(n, "binance/ticks", 100 + n)).collect();
    bars.extend((50..90).map(|n| minute(n, "binance", 200 + n)));
    let (_place, store) = store_with(&bars).await;
    let found = best(&*store, &query(Interval::Minute, 5000)).await;
    assert_eq!(found.len(), 100);
    for (n, bar) in (0..).zip(&found) {
        let close = if (50..90).contains(&n) { 200 + n } else { 100 + n };
        assert_eq!((bar.time, bar.close), (minute(n, "binance", 100).time, Decimal::from(close)));
    }
    assert_eq!(best(&*store, &query(Interval::Minute, 30)).await, found[70..]);
}

#[tokio::test]
async fn a_stock_day_is_put_together_from_the_minutes_of_new_york() {
    let apple: Symbol = symbol("AAPL");
    let at = |text: &str, close| {
        changed(candle(Interval::Minute, time(text), "yahoo", close), |fields| fields.symbol = apple)
    };
    // In January New York is five hours behind: 04:59 UTC still belongs to the day before.
    let bars =
        [at("2026-01-13T04:59:00Z", 90), at("2026-01-13T15:00:00Z", 101), at("2026-01-14T04:59:00Z", 102)];
    let (_place, store) = store_with(&bars).await;
    let days = CandleQuery { symbol: apple, ..query(Interval::Day, 10) };
    let found = best(&*store, &days).await;
    let shown: Vec<_> = found.iter().map(|bar| (bar.time, bar.close, bar.is_final)).collect();
    let label = |text| time(text);
    assert_eq!(
        shown,
        [
            (label("2026-01-12T00:00:00Z"), Decimal::from(90), true),
            (label("2026-01-13T00:00:00Z"), Decimal::from(102), false)
        ]
    );
    let one_day =
        CandleQuery { from: label("2026-01-13T00:00:00Z"), to: label("2026-01-13T00:00:01Z"), ..days };
    assert_eq!(best(&*store, &one_day).await, found[1..]);
}

#[tokio::test]
async fn where_reading_minutes_stops_no_bucket_is_shown_in_part() {
    let start = time("2026-01-01T00:00:00Z");
    let bars: Vec<_> = (0..30_030)
        .map(|n| candle(Interval::Minute, start + TimeDelta::minutes(n), "binance", 100))
        .collect();
    let (_place, store) = store_with(&bars).await;
    let found = best(&*store, &query(Interval::Hour, 5000)).await;
    assert!((490..=501).contains(&found.len()), "{} hours", found.len());
    // Every minute has 7 ticks; only the newest hour is under way.
    let (newest, whole) = found.split_last().expect("hours");
    assert!(whole.iter().all(|bar| bar.ticks == 7 * 60), "an hour lacks minutes");
    assert_eq!(newest.ticks, 7 * 30);
}

#[tokio::test]
async fn settled_candles_are_those_of_their_minutes_once_the_minutes_are_gone() {
    let mut candles: Vec<_> = (0..120).map(|n| minute(n, "binance", 100 + n)).collect();
    // Building began in the second half of the first hour, and the second hour is quoted.
    candles.extend((40..60).map(|n| minute(n, "binance/ticks", 500 + n)));
    candles.push(changed(candle(Interval::Hour, time(NOON), "binance/ticks", 159), |fields| {
        fields.ticks = 9_000;
    }));
    let quoted = candle(Interval::Hour, time(NOON) + TimeDelta::hours(1), "binance", 777);
    candles.push(quoted);
    let (_place, store) = store_with(&candles).await;
    let now = time("2026-01-15T00:20:00Z");
    let range = (time("2026-01-13T00:00:00Z"), time("2026-01-15T00:00:00Z"));
    let settle = async || {
        live_store::settle_candles(&*store, symbol("BTC/USDT"), range.0, range.1, now).await.expect("settled")
    };
    let all = async || {
        let mut all = Vec::new();
        for interval in Interval::ALL.into_iter().skip(1) {
            let query = query(interval, 5_000);
            let read = best_candles(&*store, &query, &[], now).await.expect("candles");
            // The source differs: what is put together of quoted minutes is not quoted.
            let numbers = |c: &Candle| {
                (c.interval, c.time, c.open, c.high, c.low, c.close, c.volume, c.ticks, c.is_final)
            };
            all.extend(read.iter().map(numbers));
        }
        all
    };
    let before = all().await;
    assert_eq!(settle().await, 24 + 8 + 1 + 1 + 1, "5m, 15m, the first hour, 4h and the day");
    assert_eq!(settle().await, 0, "nothing differs any more");
    assert_eq!(all().await, before);
    assert_eq!(store.prune_candles(&everything_of("BTC/USDT")).await.expect("pruned"), 140);
    assert_eq!(all().await, before);
}

#[tokio::test]
async fn a_range_without_end_is_answered() {
    let (_place, store) = store_with(&[minute(0, "binance", 101)]).await;
    for interval in Interval::ALL {
        let (from, to) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        let all = CandleQuery { from, to, ..query(interval, usize::MAX) };
        assert_eq!(best(&*store, &all).await.len(), 1, "{interval}");
    }
}
