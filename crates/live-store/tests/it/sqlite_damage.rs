//! A file that another program has written into.

use live_store::{CandleQuery, LiveStoreError};
use market::Interval;
use sqlx::AssertSqlSafe;

use crate::{
    place::{Place, SqlitePlace},
    samples::{at, candle, changed, everything, symbol, tick_of, ticks},
};

#[tokio::test]
async fn a_row_that_holds_nonsense_is_an_error_that_names_the_column() {
    let place = SqlitePlace::new();
    let store = place.open().await;
    store.write_ticks(&ticks(0..3)).await.expect("stored");
    let mut raw = place.raw().await;
    for (column, value) in [
        ("timestamp", "'2026-01-13T15:30:01Z'"),
        ("timestamp", "'2026-01-13T15:30:61.000000Z'"),
        ("timestamp", "'2026-02-30T15:30:01.000000Z'"),
        ("timestamp", "'202６-01-13T15:30:01.0000Z'"),
        ("received_at", "''"),
        ("processed_at", "'yesterday'"),
        ("price", "-1.5"),
        ("price", "9e999"),
        ("price", "1e300"),
        ("low", "300"),
        ("volume", "-0.5"),
        ("source", "'Binance!'"),
        ("change_percent", "-9e999"),
        ("\"partition\"", "5000000000"),
    ] {
        let sql = format!("UPDATE realtime_prices SET {column} = {value} WHERE seq = 1");
        sqlx::query("BEGIN").execute(&mut raw).await.expect("begun");
        sqlx::query("CREATE TEMP TABLE kept AS SELECT * FROM realtime_prices")
            .execute(&mut raw)
            .await
            .expect("kept");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut raw).await.expect("changed");
        sqlx::query("COMMIT").execute(&mut raw).await.expect("committed");

        // In front of every time that is one.
        let error = store.ticks(&everything("AAPL", 10)).await.expect_err(column);
        assert!(matches!(&error, LiveStoreError::Refused { .. }), "{column} = {value}: {error}");
        assert!(error.to_string().contains("realtime_prices"), "{error}");
        if column.chars().all(char::is_alphabetic) {
            assert!(error.to_string().contains(column), "{column} = {value}: {error}");
        }
        sqlx::raw_sql(
            "DELETE FROM realtime_prices; INSERT INTO realtime_prices SELECT * FROM kept; DROP TABLE kept",
        )
        .execute(&mut raw)
        .await
        .expect("as before");
    }
    assert_eq!(store.ticks(&everything("AAPL", 10)).await.expect("healed").ticks, ticks(0..3));
}

#[tokio::test]
async fn a_nonsensical_symbol_and_a_nonsensical_bar_are_errors() {
    let place = SqlitePlace::new();
    let store = place.open().await;
    store.write_ticks(&[tick_of("AAPL", 1, at(0))]).await.expect("stored");
    store.write_candles(&[candle(Interval::Minute, at(0), "binance", 101)]).await.expect("stored");
    let mut raw = place.raw().await;
    sqlx::raw_sql(
        "UPDATE realtime_prices SET symbol = 'not a symbol'; UPDATE candles SET source = '?', final = 2",
    )
    .execute(&mut raw)
    .await
    .expect("changed");
    let error = store.latest_ticks().await.expect_err("refused");
    assert!(error.to_string().contains("not a symbol"), "{error}");
    let query = CandleQuery {
        symbol: symbol("BTC/USDT"),
        interval: Interval::Minute,
        from: at(0),
        to: at(60),
        limit: 10,
    };
    let error = store.candles(&query).await.expect_err("refused");
    assert!(error.to_string().contains("candles") && error.to_string().contains("source"), "{error}");
}

#[tokio::test]
async fn a_candle_that_contradicts_itself_is_an_error_that_names_the_field() {
    let place = SqlitePlace::new();
    let store = place.open().await;
    let good = candle(Interval::Minute, at(0), "binance", 101);
    let query = CandleQuery {
        symbol: symbol("BTC/USDT"),
        interval: Interval::Minute,
        from: at(0),
        to: at(60),
        limit: 10,
    };
    let mut raw = place.raw().await;
    for (column, value) in [("open", "-1"), ("close", "500"), ("low", "0"), ("volume", "-0.5")] {
        store.write_candles(&[good]).await.expect("stored");
        let sql = format!("UPDATE candles SET {column} = {value}");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut raw).await.expect("changed");
        let error = store.candles(&query).await.expect_err(column).to_string();
        assert!(error.contains("candles") && error.contains(column), "{column} = {value}: {error}");
    }
}

#[tokio::test]
async fn a_file_of_format_1_keeps_its_rows_and_takes_sizes_and_unknown_volumes() {
    const FORMAT_1: &str =
        include_str!("../../../../schema/sqlite/live-store/0001_ticks_candles_checkpoints.sql");
    let place = SqlitePlace::new();
    let mut raw = place.raw().await;
    let script = format!(
        "{FORMAT_1}; PRAGMA user_version = 1; PRAGMA application_id = 1413762131;
         INSERT INTO realtime_prices VALUES ('AAPL', '2026-01-13T15:30:01.000000Z', 261.06, 287051, 260.22, 261.06, 260.19, 0.32,
             'binance', '2026-01-13T15:30:01.214007Z', 1, 0.3, '2026-01-13T15:30:01.250000Z', 1, 1);
         INSERT INTO candles VALUES ('BTC/USDT', '1m', '2026-01-13T15:30:00.000000Z', 100, 101, 100, 101, 1.5, 7, 'binance', 1,
             '2026-01-13T15:31:00.000000Z');"
    );
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut raw).await.expect("made");
    let store = place.open().await;
    let minutes = CandleQuery {
        symbol: symbol("BTC/USDT"),
        interval: Interval::Minute,
        from: at(0),
        to: at(120),
        limit: 10,
    };
    let old = candle(Interval::Minute, at(0), "binance", 101);
    assert_eq!(store.candles(&minutes).await.expect("read"), [old]);
    assert_eq!(store.ticks(&everything("AAPL", 10)).await.expect("read").ticks[0].tick.size, None);
    let unknown = changed(candle(Interval::Minute, at(60), "binance", 102), |fields| fields.volume = None);
    store.write_candles(&[unknown]).await.expect("stored");
    store.write_ticks(&ticks(2..3)).await.expect("stored");
    assert_eq!(store.candles(&minutes).await.expect("read"), [old, unknown]);
    assert_eq!(store.ticks(&everything("AAPL", 10)).await.expect("read").ticks[1], ticks(2..3)[0]);
}

#[tokio::test]
async fn pages_of_the_file_overwritten_are_an_error_and_no_panic() {
    let place = SqlitePlace::new();
    // Out of the log into the file.
    let write_back = async || {
        let mut raw = place.raw().await;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut raw).await.expect("written back");
        std::fs::read(place.path()).expect("the file")
    };
    let store = place.open().await;
    // The pages of the schema stay as they are: without them nothing can be opened.
    let empty = write_back().await.len();
    store.write_ticks(&ticks(0..5000)).await.expect("stored");
    drop(store);
    let mut bytes = write_back().await;
    for byte in bytes.iter_mut().skip(empty) {
        *byte = byte.wrapping_mul(31).wrapping_add(7);
    }
    std::fs::write(place.path(), bytes).expect("damaged");

    let store = place.open().await;
    let error = store.ticks(&everything("AAPL", 5000)).await.expect_err("damaged");
    assert!(matches!(&error, LiveStoreError::Refused { .. }), "{error}");
    let error = store.write_ticks(&ticks(0..1)).await.expect_err("damaged");
    assert!(!error.is_transient(), "{error}");
}
