//! What arrives after its day was aggregated, and runs that are killed.

use std::{future::poll_fn, pin::pin, task::Poll};

use analytics_store::{DailyAggregate, Performance, Row, RowQuery, WeeklyAggregate};
use batch::BatchCommand;
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{PruneRange, StoredTick, mark_complete_days};
use market::{Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, sessions_between};
use proptest::{prelude::*, test_runner::TestRunner};
use rust_decimal::Decimal;

use crate::stores::{Stores, date, symbol, tick};

/// Stores ticks as the consumer does.
async fn deliver(stores: &Stores, ticks: &[StoredTick]) {
    stores.live.write_ticks(ticks).await.unwrap();
    let times = ticks.iter().map(|stored| (stored.tick.symbol, stored.tick.timestamp));
    mark_complete_days(&*stores.live, times, Utc::now()).await.unwrap();
}

const RUN: BatchCommand = BatchCommand::Run { date: None, symbol: None, dry_run: false };

/// Runs the batch, and drops the run after so many polls, as a kill does. Returns the polls of a run that ended.
async fn run_killed_after(stores: &Stores, polls: usize) -> Option<usize> {
    let mut run = pin!(stores.execute(RUN));
    let mut polled = 0;
    poll_fn(move |context| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        run.as_mut().poll(context).map(|done| {
            let done = done.unwrap();
            assert!(done.is_complete, "{}", done.text);
            Some(polled)
        })
    })
    .await
}

/// All rows of a table.
async fn rows<R: Row>(stores: &Stores) -> Vec<R> {
    stores.analytics.rows(&RowQuery::newest(None, RowQuery::MAX)).await.unwrap()
}

/// Everything that the batch computed, without the times of the computation.
async fn all_rows(stores: &Stores) -> (Vec<DailyAggregate>, Vec<WeeklyAggregate>, Vec<Performance>) {
    let mut daily: Vec<DailyAggregate> = rows(stores).await;
    for row in &mut daily {
        row.computed_at = DateTime::UNIX_EPOCH;
    }
    (daily, rows(stores).await, rows(stores).await)
}

/// Three ticks on each session of two months and both weekends of crypto, at times of their own.
fn all_ticks() -> Vec<StoredTick> {
    let (from, to) = (date("2025-10-20"), date("2025-12-05"));
    let mut seq = 0;
    let mut ticks = Vec::new();
    for name in ["AAPL", "MSFT", "BTC/USDT"] {
        let symbol = symbol(name);
        for (session, day) in sessions_between(symbol.asset_class(), from, to).zip(0_u32..) {
            for part in 0..3_u32 {
                seq += 1;
                let time = session.open + TimeDelta::minutes(i64::from(part) * 120 + 7);
                let price = 100.0 + f64::from((day * 37 + part * 11 + seq as u32) % 23);
                ticks.push(tick(symbol, time, price, part * 100 + 100, seq));
            }
        }
    }
    ticks
}

async fn clean_run(ticks: &[StoredTick]) -> (Vec<DailyAggregate>, Vec<WeeklyAggregate>, Vec<Performance>) {
    let stores = Stores::new().await;
    deliver(&stores, ticks).await;
    stores.run().await;
    all_rows(&stores).await
}

/// Which ticks come with which delivery, and after how many polls the run behind it is killed; `None`: it ends.
fn deliveries(ticks: usize) -> impl Strategy<Value = (Vec<usize>, Vec<Option<usize>>)> {
    const DELIVERIES: usize = 4;
    let places = prop::collection::vec(prop_oneof![4 => Just(0), 1 => 1..DELIVERIES], ticks);
    let kills = prop::collection::vec(prop::option::weighted(0.7, 1_usize..400), DELIVERIES);
    (places, kills)
}

#[test]
fn late_ticks_and_killed_runs_give_the_rows_of_one_clean_run() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ticks = all_ticks();
    let expected = runtime.block_on(clean_run(&ticks));
    assert!(expected.0.len() > 100 && expected.2.len() == expected.0.len());
    let config = ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() };
    let one = |(places, kills): (Vec<usize>, Vec<Option<usize>>)| {
        runtime.block_on(async {
            let stores = Stores::new().await;
            for (delivery, kill) in kills.into_iter().enumerate() {
                let of_delivery = ticks.iter().zip(&places).filter(|(_, place)| **place == delivery);
                deliver(&stores, &of_delivery.map(|(tick, _)| *tick).collect::<Vec<_>>()).await;
                run_killed_after(&stores, kill.unwrap_or(usize::MAX)).await;
            }
            stores.run().await;
            let found = all_rows(&stores).await;
            prop_assert!(found == expected, "the rows differ from those of a clean run");
            let before: Vec<DailyAggregate> = rows(&stores).await;
            let again = stores.run().await;
            prop_assert!(again.text.ends_with("0 rows written"), "{}", again.text);
            prop_assert_eq!(before, rows::<DailyAggregate>(&stores).await, "also computed_at");
            Ok(())
        })
    };
    TestRunner::new(config).run(&deliveries(ticks.len()), one).unwrap();
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_of_ten_points_is_completed_by_the_next() {
    let ticks = all_ticks();
    let expected = clean_run(&ticks).await;
    let whole = Stores::new().await;
    deliver(&whole, &ticks).await;
    let polls = run_killed_after(&whole, usize::MAX).await.unwrap();
    for point in 1..=10 {
        let stores = Stores::new().await;
        deliver(&stores, &ticks).await;
        run_killed_after(&stores, polls * point / 11).await;
        stores.run().await;
        assert!(all_rows(&stores).await == expected, "killed at {point} of 10");
        for name in ["AAPL", "MSFT", "BTC/USDT"] {
            assert_eq!(stores.live.stale_days(symbol(name)).await.unwrap(), [], "killed at {point} of 10");
        }
    }
}

#[tokio::test]
async fn what_followed_from_ticks_that_were_removed_stays() {
    let stores = Stores::new().await;
    let bitcoin = symbol("BTC/USDT");
    let at =
        |minute: i64| date("2025-11-03").and_hms_opt(1, 0, 0).unwrap().and_utc() + TimeDelta::minutes(minute);
    let ticks: Vec<_> =
        (0..10).map(|n| tick(bitcoin, at(n), 100.0 + n as f64, n as u32 + 1, n as u64)).collect();
    deliver(&stores, &ticks).await;
    stores.run().await;
    let [before] = <[DailyAggregate; 1]>::try_from(rows(&stores).await).unwrap();
    let (from, to) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let all = PruneRange { symbol: bitcoin, from, to, stored_before: to };
    assert_eq!(stores.live.prune(&all).await.unwrap().ticks, 10);
    // A late tick of the day, and one of another symbol's day that is computed as usual.
    deliver(&stores, &[tick(bitcoin, at(60), 1.0, 1, 99)]).await;
    stores.run().await;
    assert_eq!(rows::<DailyAggregate>(&stores).await, std::slice::from_ref(&before));
    // The provider quotes the whole day later: prices are its, what followed from the ticks stays.
    stores.live.write_candles(&[quoted(bitcoin, "2025-11-03", 90)]).await.unwrap();
    stores.run().await;
    let [after] = <[DailyAggregate; 1]>::try_from(rows(&stores).await).unwrap();
    assert_eq!(after.close_price, Decimal::from(90));
    assert_eq!((after.ticks, after.volatility, &after.source), (10, before.volatility, &before.source));
    assert_eq!(after.avg_price, before.avg_price);
    let again = stores.run().await;
    assert!(again.text.ends_with("0 rows written"), "{}", again.text);
}

#[tokio::test]
async fn a_daily_candle_that_is_quoted_later_changes_its_row() {
    let stores = Stores::new().await;
    let bitcoin = symbol("BTC/USDT");
    for (day, seq) in [("2025-11-03", 1), ("2025-11-04", 2), ("2025-11-05", 3)] {
        let noon = date(day).and_hms_opt(12, 0, 0).unwrap().and_utc();
        deliver(&stores, &[tick(bitcoin, noon, 100.0, 1, seq)]).await;
    }
    stores.run().await;
    stores.live.write_candles(&[quoted(bitcoin, "2025-11-03", 80)]).await.unwrap();
    stores.run().await;
    let closes: Vec<Decimal> = stores.daily(bitcoin).await.iter().map(|row| row.close_price).collect();
    assert_eq!(closes, [80, 100, 100].map(Decimal::from));
}

#[tokio::test]
async fn a_day_without_a_session_is_named_with_the_holiday() {
    let stores = Stores::new().await;
    deliver(&stores, &all_ticks()).await;
    for (day, reason) in [
        ("2025-11-27", "no session on 2025-11-27: Thanksgiving Day (AAPL, MSFT)"),
        ("2025-11-29", "no session on 2025-11-29: weekend (AAPL, MSFT)"),
        (
            "2025-01-02",
            "nothing stored of 2025-01-02: neither ticks nor a daily candle (AAPL, BTC/USDT, MSFT)",
        ),
    ] {
        let run = BatchCommand::Run { date: Some(date(day)), symbol: None, dry_run: false };
        let done = stores.execute(run).await.unwrap();
        assert!(done.is_complete && done.text.contains(reason), "{}", done.text);
    }
}

/// A provider's candle of a day.
fn quoted(symbol: Symbol, day: &str, close: i64) -> Candle {
    let fields = CandleFields {
        symbol,
        interval: Interval::Day,
        time: date(day).and_hms_opt(0, 0, 0).unwrap().and_utc(),
        open: Decimal::from(100),
        high: Decimal::from(200),
        low: Decimal::ONE,
        close: Decimal::from(close),
        volume: None,
        ticks: 0,
        source: CandleSource { feed: Source::parse("binance").unwrap(), origin: CandleOrigin::Provider },
        is_final: true,
    };
    Candle::new(fields).unwrap()
}
