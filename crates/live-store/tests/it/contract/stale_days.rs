//! Marked trading days.

use std::collections::BTreeSet;

use chrono::{NaiveDate, TimeDelta};
use live_store::{LiveStore, StaleDay};
use market::Symbol;

use crate::{
    place::Place,
    samples::{at, symbol, ticks},
};

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, day).expect("a date")
}

async fn mark(store: &dyn LiveStore, days: &[(&str, u32)], seconds: i64) {
    let days: BTreeSet<(Symbol, NaiveDate)> =
        days.iter().map(|(name, number)| (symbol(name), day(*number))).collect();
    store.mark_stale(&days, at(seconds)).await.expect("marked");
}

async fn marked(store: &dyn LiveStore, name: &str) -> Vec<StaleDay> {
    store.stale_days(symbol(name)).await.expect("read")
}

pub(crate) async fn marked_days_are_read_by_symbol_and_date(place: impl Place) {
    let store = place.open().await;
    assert_eq!(marked(&*store, "AAPL").await, []);
    store.mark_stale(&BTreeSet::new(), at(0)).await.expect("nothing");
    mark(&*store, &[("AAPL", 14), ("BTC/USDT", 13), ("AAPL", 9)], 0).await;
    let mark_of =
        |name: &str, number| StaleDay { symbol: symbol(name), date: day(number), marked_at: at(0), marks: 1 };
    assert_eq!(marked(&*store, "AAPL").await, [mark_of("AAPL", 9), mark_of("AAPL", 14)]);
    assert_eq!(marked(&*store, "BTC/USDT").await, [mark_of("BTC/USDT", 13)]);
    drop(store);
    assert_eq!(marked(&*place.open().await, "AAPL").await.len(), 2);
}

pub(crate) async fn a_mark_that_was_set_again_is_not_removed(place: impl Place) {
    let store = place.open().await;
    store.write_ticks(&ticks(0..3)).await.expect("stored");
    mark(&*store, &[("AAPL", 13), ("AAPL", 14)], 0).await;
    let read = marked(&*store, "AAPL").await;
    mark(&*store, &[("AAPL", 14)], 0).await;
    assert_eq!(store.unmark_stale(&read).await.expect("one"), 1);
    let left = marked(&*store, "AAPL").await;
    assert_eq!(left, [StaleDay { marks: 2, ..read[1] }]);
    assert_eq!(store.unmark_stale(&read).await.expect("none"), 0);
    assert_eq!(store.unmark_stale(&left).await.expect("one"), 1);
    // A mark that is set after a removal is another one, although its count begins again.
    mark(&*store, &[("AAPL", 13)], 0).await;
    let first = marked(&*store, "AAPL").await;
    store.unmark_stale(&first).await.expect("one");
    store
        .mark_stale(&[(symbol("AAPL"), day(13))].into(), at(0) + TimeDelta::seconds(1))
        .await
        .expect("marked");
    assert_eq!(store.unmark_stale(&first).await.expect("none"), 0);
    assert_eq!(marked(&*store, "AAPL").await.len(), 1);
}
