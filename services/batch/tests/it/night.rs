//! Nights over real prices: closes of AAPL with the figures of TA-Lib (`crates/indicators/tests/fixtures`).

use analytics_store::{BatchRun, Performance, RowQuery, RunStatus, WeeklyAggregate};
use batch::BatchCommand;
use chrono::{NaiveDate, TimeDelta, Utc};
use live_store::StoredTick;
use market::{Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, session};
use rust_decimal::Decimal;

use crate::stores::{Stores, date, decimal, symbol, tick};

/// Rows of the reference: date, close, SMA 20, RSI 14.
fn reference() -> Vec<(NaiveDate, f64, Option<f64>, Option<f64>)> {
    let text = include_str!("../../../../crates/indicators/tests/fixtures/AAPL.csv");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let cell = |row: &csv::StringRecord, place: usize| row[place].parse::<f64>().ok();
    let row = |row: csv::Result<csv::StringRecord>| {
        let row = row.unwrap();
        (row[0].parse().unwrap(), cell(&row, 3).unwrap(), cell(&row, 4), cell(&row, 6))
    };
    reader.records().map(row).collect()
}

/// Three ticks of a session: half an hour before the close, and at the close.
fn session_ticks(symbol: Symbol, date: NaiveDate, close: f64, seq: u64) -> [StoredTick; 3] {
    let end = session(symbol.asset_class(), date).unwrap().close - TimeDelta::minutes(1);
    [
        tick(symbol, end - TimeDelta::minutes(30), close * 1.01, 1_000, seq),
        tick(symbol, end - TimeDelta::minutes(29), close * 0.98, 1_500, seq + 1),
        tick(symbol, end, close, 2_500, seq + 2),
    ]
}

#[tokio::test]
async fn nights_give_the_closes_of_the_recording_and_the_indicators_of_the_reference() {
    let stores = Stores::new().await;
    let apple = symbol("AAPL");
    let reference = reference();
    let ticks: Vec<StoredTick> = reference
        .iter()
        .zip(0..)
        .flat_map(|((date, close, ..), place)| session_ticks(apple, *date, *close, place * 3))
        .collect();
    stores.live.write_ticks(&ticks).await.unwrap();
    let done = stores.run().await;
    assert!(done.is_complete, "{}", done.text);

    let rows = stores.daily(apple).await;
    assert_eq!(rows.len(), reference.len());
    for (row, (date, close, sma, rsi)) in rows.iter().zip(&reference) {
        assert_eq!((row.date, row.close_price), (*date, decimal(*close)));
        let is_close = |found: Option<f64>, expected: Option<f64>, tolerance: f64| match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() < tolerance,
            (found, expected) => found == expected,
        };
        assert!(is_close(row.sma_20, *sma, 1e-9), "{date}: {:?} and not {sma:?}", row.sma_20);
        // Over 250 closes Wilder's smoothing is within a millionth of that over all.
        assert!(is_close(row.rsi_14, *rsi, 1e-5), "{date}: {:?} and not {rsi:?}", row.rsi_14);
        assert_eq!((row.ticks, row.total_volume), (3, Some(Decimal::from(2_500))));
        assert_eq!(row.source, "replay");
        assert!((row.daily_change_pct - (1.0 / 1.01 - 1.0) * 100.0).abs() < 1e-6);
    }
    let weeks: Vec<WeeklyAggregate> =
        stores.analytics.rows(&RowQuery::newest(Some(apple), 10_000)).await.unwrap();
    assert_eq!(weeks.iter().map(|week| week.days).sum::<u64>(), rows.len() as u64);
    let standings: Vec<Performance> = stores.analytics.rows(&RowQuery::newest(Some(apple), 1)).await.unwrap();
    let [last] = standings.as_slice() else { panic!("{standings:?}") };
    let before = reference[reference.len() - 2].1;
    let close = reference[reference.len() - 1].1;
    assert!((last.return_1d.unwrap() - (close / before - 1.0) * 100.0).abs() < 1e-9);
    assert_eq!((last.rank_30d, last.beta_90d), (Some(1), None), "the only symbol");

    let again = stores.run().await;
    assert!(again.text.ends_with("0 rows written"), "{}", again.text);
    assert_eq!(stores.daily(apple).await, rows, "also computed_at");
    let runs: Vec<BatchRun> = stores.analytics.rows(&RowQuery::newest(None, 10)).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.status).collect::<Vec<_>>(), [RunStatus::Done; 2]);
    assert_eq!(runs.iter().map(|run| run.rows_written).collect::<Vec<_>>()[1], 0);
}

#[tokio::test]
async fn a_day_that_changes_changes_the_rows_that_depend_on_it_and_no_other() {
    let stores = Stores::new().await;
    let apple = symbol("AAPL");
    let days: Vec<_> = reference().into_iter().take(60).collect();
    let ticks: Vec<StoredTick> = days
        .iter()
        .zip(0..)
        .flat_map(|((date, close, ..), place)| session_ticks(apple, *date, *close, place * 3))
        .collect();
    stores.live.write_ticks(&ticks).await.unwrap();
    stores.run().await;
    let before = stores.daily(apple).await;

    // A late tick of the 40th day, after its close.
    let (changed, close, ..) = days[40];
    let end = session(apple.asset_class(), changed).unwrap().close;
    stores.live.write_ticks(&[tick(apple, end, close * 1.5, 2_600, 9_999)]).await.unwrap();
    let dry = BatchCommand::Run { date: Some(changed), symbol: Some(apple), dry_run: true };
    assert!(stores.execute(dry).await.unwrap().text.contains("nothing stored"));
    assert_eq!(stores.daily(apple).await, before);
    stores.execute(BatchCommand::Run { date: Some(changed), symbol: None, dry_run: false }).await.unwrap();
    let after = stores.daily(apple).await;
    let differing: Vec<usize> = (0..60).filter(|place| before[*place] != after[*place]).collect();
    assert_eq!(differing, (40..60).collect::<Vec<_>>());
    assert_eq!(after[40].close_price, decimal(close * 1.5).round_dp(8).normalize());
    assert_eq!(after[39].computed_at, before[39].computed_at);
}

#[tokio::test]
async fn ticks_that_the_candle_of_the_consumer_lacks_count_for_the_prices_of_a_day() {
    let stores = Stores::new().await;
    let bitcoin = symbol("BTC/USDT");
    let candle = |ticks, origin| {
        let fields = CandleFields {
            symbol: bitcoin,
            interval: Interval::Day,
            time: date("2026-01-17").and_hms_opt(0, 0, 0).unwrap().and_utc(),
            open: Decimal::from(100),
            high: Decimal::from(120),
            low: Decimal::from(90),
            close: Decimal::from(111),
            volume: Some(Decimal::from(7)),
            ticks,
            source: CandleSource { feed: Source::parse("binance").unwrap(), origin },
            is_final: true,
        };
        Candle::new(fields).unwrap()
    };
    let late = "2026-01-17T23:59:00Z".parse().unwrap();
    stores.live.write_ticks(&[tick(bitcoin, late - TimeDelta::hours(1), 111.0, 1, 1)]).await.unwrap();
    stores.live.write_ticks(&[tick(bitcoin, late, 80.0, 1, 2)]).await.unwrap();
    for (ticks, origin, low, close) in [
        (1, CandleOrigin::Ticks, 80, 80),
        (2, CandleOrigin::Ticks, 90, 111),
        (0, CandleOrigin::Provider, 90, 111),
    ] {
        stores.live.write_candles(&[candle(ticks, origin)]).await.unwrap();
        stores.run().await;
        let rows = stores.daily(bitcoin).await;
        let row = rows.last().unwrap();
        let [low, close] = [low, close].map(Decimal::from);
        assert_eq!(
            (row.open_price, row.low_price, row.close_price),
            (Decimal::from(100), low, close),
            "{ticks}"
        );
        assert_eq!((row.high_price, row.total_volume), (Decimal::from(120), Some(Decimal::from(7))));
    }
}

#[tokio::test]
async fn a_day_without_ticks_is_the_provider_s_candle_and_a_closed_day_is_none() {
    let stores = Stores::new().await;
    let (apple, bitcoin) = (symbol("AAPL"), symbol("BTC/USDT"));
    let candle = |symbol: Symbol, day: &str| {
        let fields = CandleFields {
            symbol,
            interval: Interval::Day,
            time: date(day).and_hms_opt(0, 0, 0).unwrap().and_utc(),
            open: Decimal::from(100),
            high: Decimal::from(120),
            low: Decimal::from(90),
            close: Decimal::from(111),
            volume: None,
            ticks: 0,
            source: CandleSource { feed: Source::parse("yahoo").unwrap(), origin: CandleOrigin::Provider },
            is_final: true,
        };
        Candle::new(fields).unwrap()
    };
    stores.live.write_candles(&[candle(apple, "2026-01-13"), candle(bitcoin, "2026-01-17")]).await.unwrap();
    // One tick of a Saturday, as a provider that repeats its last price.
    let saturday = "2026-01-17T15:00:00Z".parse().unwrap();
    stores
        .live
        .write_ticks(&[tick(apple, saturday, 260.0, 1, 1), tick(bitcoin, saturday, 1e-8, 1, 1)])
        .await
        .unwrap();
    stores.run().await;

    let rows = stores.daily(apple).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.date, row.source.as_str(), row.ticks), (date("2026-01-13"), "yahoo/1d", 0));
    assert_eq!(
        [row.open_price, row.close_price, row.avg_price.round_dp(2)],
        [100, 111, 107].map(Decimal::from)
    );
    assert_eq!((row.total_volume, row.volatility, row.sma_20, row.rsi_14), (None, None, None, None));
    let rows = stores.daily(bitcoin).await;
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.date, row.source.as_str(), row.ticks), (date("2026-01-17"), "replay", 1));
    assert_eq!(
        (row.close_price, row.volatility),
        (Decimal::from(111), None),
        "prices are those of the whole day"
    );
}

#[tokio::test]
async fn a_day_that_has_not_ended_and_a_symbol_that_is_not_stored_are_named() {
    let stores = Stores::new().await;
    let bitcoin = symbol("BTC/USDT");
    let now = Utc::now();
    stores.live.write_ticks(&[tick(bitcoin, now, 105.0, 1, 1)]).await.unwrap();
    let today = now.date_naive();
    let run = BatchCommand::Run { date: Some(today), symbol: None, dry_run: false };
    let done = stores.execute(run).await.unwrap();
    assert!(!done.is_complete && done.text.contains(&format!("BTC/USDT {today}")), "{}", done.text);
    let run = BatchCommand::Run { date: None, symbol: Some(symbol("AAPL")), dry_run: false };
    let error = format!("{:#}", stores.execute(run).await.unwrap_err());
    assert!(error.contains("neither ticks nor candles of AAPL"), "{error}");
    let status = stores.execute(BatchCommand::Status).await.unwrap().text;
    assert!(status.contains("failed") && status.contains("AAPL"), "{status}");
}
