use chrono::TimeDelta;
use futures_util::TryStreamExt;
use live_store::{LiveStoreError, PruneRange, Pruned, StoredTick, TickQuery};
use market::{Source, Tick, TickFields};

use crate::{
    place::Place,
    samples::{all_ticks, at, everything, everything_of, symbol, tick, tick_of, ticks, time},
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

pub(crate) async fn a_cursor_that_no_page_returned_is_an_error(place: impl Place) {
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

pub(crate) async fn a_day_is_a_stream_of_its_ticks_in_order(place: impl Place) {
    let store = place.open().await;
    let date = time("2026-01-13T00:00:00Z").date_naive();
    // New York's day begins at 05:00 UTC, that of crypto at 00:00; more than a page of each day is stored.
    let days = [("AAPL", time("2026-01-13T05:00:00Z")), ("BTC/USDT", time("2026-01-13T00:00:00Z"))];
    let mut expected = Vec::new();
    for (name, start) in days {
        let end = start + TimeDelta::days(1);
        let before = tick_of(name, 1_000_000, start - TimeDelta::microseconds(1));
        let behind = tick_of(name, 1_000_001, end);
        let mut day: Vec<_> =
            (0..4500).map(|n| tick_of(name, n, start + TimeDelta::seconds(n as i64))).collect();
        day.push(tick_of(name, 4500, end - TimeDelta::microseconds(1)));
        store.write_ticks(&[before, behind]).await.expect("stored");
        store.write_ticks(&day).await.expect("stored");
        let found: Vec<_> =
            live_store::ticks_of_day(&*store, symbol(name), date).try_collect().await.expect("read");
        assert_eq!(found, day, "{name}");
        expected.extend(day);
    }
    let found: Vec<_> = live_store::all_ticks_of_day(&*store, date).try_collect().await.expect("read");
    assert_eq!(found, expected);
    let empty = time("2020-01-13T00:00:00Z").date_naive();
    let found: Vec<_> = live_store::all_ticks_of_day(&*store, empty).try_collect().await.expect("read");
    assert_eq!(found, []);
}

pub(crate) async fn pruning_removes_old_ticks_and_nothing_else(place: impl Place) {
    let store = place.open().await;
    let crypto: Vec<_> = (0..100).map(|n| tick_of("BTC/USDT", n, at(n as i64))).collect();
    // More than one step of pruning.
    store.write_ticks(&ticks(0..5000)).await.expect("stored");
    store.write_ticks(&crypto).await.expect("stored");
    let kept = store.claim("consumer", &[("stock-prices".into(), 0)]).await.expect("claimed");
    let prune = async |range: PruneRange| store.prune_ticks(&range).await.expect("pruned");
    let apple = everything_of("AAPL");
    assert_eq!(prune(PruneRange { to: at(0), ..apple }).await, 0);
    // Ticks are stored a quarter of a second after they happened.
    assert_eq!(prune(PruneRange { stored_before: at(90), ..apple }).await, 90);
    assert_eq!(prune(PruneRange { from: at(95), to: at(100), ..apple }).await, 5);
    let left: Vec<_> = ticks(90..95).into_iter().chain(ticks(100..5000)).collect();
    assert_eq!(all_ticks(&*store, "AAPL", 5000).await, left);
    assert_eq!(all_ticks(&*store, "BTC/USDT", 5000).await, crypto);
    let all = store.prune(&apple).await.expect("pruned");
    assert_eq!(all, Pruned { ticks: 4905, candles: 0 });
    assert_eq!(prune(everything_of("BTC/USDT")).await, 100);
    assert_eq!(store.latest_ticks().await.expect("read"), []);
    assert_eq!(store.checkpoints("consumer").await.expect("read"), kept);
}

pub(crate) async fn an_empty_store_returns_nothing(place: impl Place) {
    let store = place.open().await;
    assert_eq!(store.latest_ticks().await.expect("read"), []);
    assert_eq!(store.symbols().await.expect("read"), []);
    let page = store.ticks(&everything("AAPL", 10)).await.expect("a page");
    assert_eq!((page.ticks, page.next_cursor), (vec![], None));
    assert_eq!(store.checkpoints("consumer").await.expect("read"), []);
    assert_eq!(store.prune(&everything_of("AAPL")).await.expect("nothing"), Pruned::default());
    assert_eq!(store.oldest_minute(symbol("AAPL"), at(0)).await.expect("none"), None);
}
