use chrono::TimeDelta;
use live_store::{LiveStoreError, StoredTick, TickQuery};
use market::{Interval, Source, Tick, TickFields};

use crate::{
    place::Place,
    samples::{all_ticks, at, candle, changed, everything, symbol, tick, tick_of, ticks},
};

fn of_source(row: StoredTick, source: &str) -> StoredTick {
    let source = Source::parse(source).expect("a source");
    let tick = Tick::new(TickFields { source, ..row.tick.into_fields() }).expect("a tick");
    StoredTick { tick, ..row }
}

/// 300 ticks at only three moments, of two sources, written in an order that is not theirs.
fn crowded() -> Vec<StoredTick> {
    let mut rows: Vec<_> = (0..300)
        .map(|n| {
            let row = tick_of("BTC/USDT", n * 7919 % 300, at((n % 3) as i64));
            of_source(row, if n % 2 == 0 { "kraken" } else { "binance" })
        })
        .collect();
    rows.extend(ticks(0..50));
    rows
}

pub(crate) async fn pages_show_every_tick_once_in_order(place: impl Place) {
    let store = place.open().await;
    store.write_ticks(&crowded()).await.expect("stored");
    let mut expected: Vec<_> =
        crowded().into_iter().filter(|row| row.tick.symbol == symbol("BTC/USDT")).collect();
    expected.sort_by_key(|row| (row.tick.timestamp, row.tick.source, row.tick.seq));
    for page in [1, 7, 99, 100, 299, 300, 301] {
        assert_eq!(all_ticks(&*store, "BTC/USDT", page).await, expected, "in pages of {page}");
    }
    let none = store.ticks(&everything("BTC/USDT", 0)).await.expect("a page");
    assert_eq!(none.ticks, expected[..1], "a limit of 0 counts as 1");
    let all = store.ticks(&everything("BTC/USDT", usize::MAX)).await.expect("a page");
    assert_eq!(all.ticks, expected);
    assert_eq!(all.next_cursor, None);
}

pub(crate) async fn a_page_keeps_to_its_range_and_symbol(place: impl Place) {
    let store = place.open().await;
    store.write_ticks(&crowded()).await.expect("stored");
    let query = TickQuery { from: at(10), to: at(20), ..everything("AAPL", 100) };
    assert_eq!(store.ticks(&query).await.expect("a page").ticks, ticks(10..20));
    let nanosecond = TimeDelta::nanoseconds(1);
    let query = TickQuery { from: at(10) + nanosecond, to: at(20) + nanosecond, ..query };
    assert_eq!(
        store.ticks(&query).await.expect("a page").ticks,
        ticks(11..21),
        "ends finer than a microsecond"
    );
    let query = TickQuery { from: at(20), to: at(10), ..query };
    assert_eq!(store.ticks(&query).await.expect("a page").ticks, []);
    assert_eq!(store.ticks(&everything("MSFT", 10)).await.expect("a page").ticks, []);
}

pub(crate) async fn a_cursor_of_nobody_is_an_error(place: impl Place) {
    let store = place.open().await;
    store.write_ticks(&ticks(0..10)).await.expect("stored");
    let page = store.ticks(&everything("AAPL", 3)).await.expect("a page");
    let real = page.next_cursor.expect("more");
    let odd = [
        String::new(),
        "x".repeat(100_000),
        format!("{real} "),
        format!("+{real}"),
        format!("0{real}"),
        real.replace('.', ":"),
        real.replace("binance", "BINANCE"),
        real.replace("binance", ""),
        "1.2".to_owned(),
        "9223372036854775807.1.binance".to_owned(),
        "1.-1.binance".to_owned(),
        "' OR 1 = 1 --".to_owned(),
        "\u{0}\u{202e}".to_owned(),
    ];
    for cursor in odd {
        let query = TickQuery { cursor: Some(cursor.clone()), ..everything("AAPL", 3) };
        let error = store.ticks(&query).await.expect_err(&cursor);
        assert!(matches!(&error, LiveStoreError::BadCursor { .. }), "{error}");
        assert!(error.to_string().len() < 1000, "{error}");
        assert!(!error.is_transient());
    }
}

pub(crate) async fn a_cursor_from_before_the_range_starts_at_the_range(place: impl Place) {
    let store = place.open().await;
    store.write_ticks(&ticks(0..10)).await.expect("stored");
    let cursor = store.ticks(&everything("AAPL", 3)).await.expect("a page").next_cursor;
    let query = TickQuery { from: at(5), cursor, ..everything("AAPL", 100) };
    assert_eq!(store.ticks(&query).await.expect("a page").ticks, ticks(5..10));
}

pub(crate) async fn the_latest_tick_of_every_symbol_is_found(place: impl Place) {
    let store = place.open().await;
    let names = ["AAPL", "BRK.B", "BTC/USDT", "ETH/USDT", "MSFT"];
    let mut rows = Vec::new();
    for (n, name) in names.iter().enumerate() {
        // The newest by its own time is neither the first nor the last that arrived, nor the highest seq.
        for seq in 0..40 {
            rows.push(tick_of(name, seq, at((seq * 17 % 40) as i64 + n as i64)));
        }
    }
    let newest: Vec<_> =
        names.iter().enumerate().map(|(n, name)| tick_of(name, 7, at(39 + n as i64))).collect();
    assert!(newest.iter().all(|row| rows.contains(row)), "17 * 7 % 40 = 39");
    store.write_ticks(&rows).await.expect("stored");
    assert_eq!(store.latest_ticks().await.expect("read"), newest);

    let same_moment = of_source(tick_of("AAPL", 3, at(39)), "kraken");
    store.write_ticks(&[tick(1), same_moment]).await.expect("stored");
    assert_eq!(store.latest_ticks().await.expect("read")[0], same_moment, "the last in the order of pages");
}

pub(crate) async fn every_symbol_with_ticks_or_bars_is_named_once(place: impl Place) {
    let store = place.open().await;
    let rows: Vec<_> =
        ["MSFT", "AAPL", "BRK.B"].iter().zip(0..).map(|(name, n)| tick_of(name, n, at(0))).collect();
    store.write_ticks(&rows).await.expect("stored");
    store.write_ticks(&ticks(50..60)).await.expect("stored");
    let minute = |n: i64| candle(Interval::Minute, at(60 * n), "binance", 100);
    // Bars of a symbol without ticks, of one with ticks, and of several widths and makers.
    let of_apple =
        changed(candle(Interval::Day, at(0), "yahoo", 100), |fields| fields.symbol = symbol("AAPL"));
    let bars = [minute(0), minute(1), candle(Interval::Hour, at(0), "binance/ticks", 90), of_apple];
    store.write_progress(&bars, &[]).await.expect("stored");
    let named = store.symbols().await.expect("read");
    assert_eq!(named, ["AAPL", "BRK.B", "BTC/USDT", "MSFT"].map(symbol));
}

pub(crate) async fn an_empty_store_answers_with_nothing(place: impl Place) {
    let store = place.open().await;
    assert_eq!(store.latest_ticks().await.expect("read"), []);
    assert_eq!(store.symbols().await.expect("read"), []);
    let page = store.ticks(&everything("AAPL", 10)).await.expect("a page");
    assert_eq!((page.ticks, page.next_cursor), (vec![], None));
    assert_eq!(store.checkpoints("consumer").await.expect("read"), []);
    assert_eq!(store.prune(at(0)).await.expect("nothing"), live_store::Pruned::default());
}
