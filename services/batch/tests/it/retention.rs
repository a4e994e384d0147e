//! What is removed, and what is kept.

use batch::{BatchCommand, Outcome};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use live_store::{StoredTick, TickQuery};
use market::Symbol;

use crate::stores::{Stores, symbol, tick};

/// So many ticks of a day of crypto, so many days ago.
fn day_of_ticks(symbol: Symbol, days_ago: i64, count: u64) -> Vec<StoredTick> {
    let midnight = date_ago(days_ago).and_hms_opt(0, 0, 0).unwrap().and_utc();
    (0..count)
        .map(|n| {
            tick(symbol, midnight + TimeDelta::seconds(n as i64), 100.0, 1, days_ago as u64 * 100_000 + n)
        })
        .collect()
}

fn date_ago(days: i64) -> NaiveDate {
    (Utc::now() - TimeDelta::days(days)).date_naive()
}

async fn prune(stores: &Stores, flags: &[&str]) -> Outcome {
    stores.execute_with(flags, BatchCommand::Prune).await.unwrap()
}

/// The days of which ticks are stored.
async fn days(stores: &Stores, symbol: Symbol) -> Vec<NaiveDate> {
    let (from, to) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let mut query = TickQuery { symbol, from, to, limit: 10_000, cursor: None };
    let mut days = Vec::new();
    loop {
        let page = stores.live.ticks(&query).await.unwrap();
        days.extend(page.ticks.iter().map(|stored| stored.tick.timestamp.date_naive()));
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => break,
        }
    }
    days.dedup();
    days
}

#[tokio::test]
async fn only_aggregated_days_past_the_retention_are_removed() {
    let stores = Stores::new().await;
    let bitcoin = symbol("BTC/USDT");
    for days_ago in [100, 95, 20] {
        stores.live.write_ticks(&day_of_ticks(bitcoin, days_ago, 5)).await.unwrap();
    }
    let done = prune(&stores, &[]).await;
    assert!(
        done.is_complete && done.text.contains("2 old days are kept until they are aggregated"),
        "{}",
        done.text
    );
    assert_eq!(days(&stores, bitcoin).await, [100, 95, 20].map(date_ago));

    stores.run().await;
    let rows = stores.daily(bitcoin).await;
    // One of them is stale.
    stores.live.mark_stale(&[(bitcoin, date_ago(95))].into(), Utc::now()).await.unwrap();
    prune(&stores, &[]).await;
    assert_eq!(days(&stores, bitcoin).await, [95, 20].map(date_ago));
    stores.run().await;
    prune(&stores, &["--retention-days", "30"]).await;
    assert_eq!(days(&stores, bitcoin).await, [20].map(date_ago));
    prune(&stores, &["--retention-days", "10", "--consumer-retention-days", "30"]).await;
    assert_eq!(days(&stores, bitcoin).await, [20].map(date_ago), "the longer time counts");
    stores.run().await;
    assert_eq!(stores.daily(bitcoin).await, rows, "also computed_at");
}

#[tokio::test]
async fn above_the_limit_the_oldest_days_are_removed_and_no_more_than_needed() {
    let stores = Stores::new().await;
    let bitcoin = symbol("BTC/USDT");
    for days_ago in (1..=6).rev() {
        stores.live.write_ticks(&day_of_ticks(bitcoin, days_ago, 2_000)).await.unwrap();
    }
    stores.run().await;
    let size = stores.live.size().await.unwrap().bytes;
    let limit = format!("{:.4}", size as f64 * 0.75 / 1e9);
    let done = prune(&stores, &["--retention-max-gb", &limit]).await;
    assert!(done.is_complete, "{}", done.text);
    let left = days(&stores, bitcoin).await;
    assert!((3..=5).contains(&left.len()) && left.last() == Some(&date_ago(1)), "{left:?}");
    assert!(stores.live.size().await.unwrap().bytes as f64 <= size as f64 * 0.76);

    let done = prune(&stores, &["--retention-max-gb", "0.001"]).await;
    let left = days(&stores, bitcoin).await;
    if left == [date_ago(1)] && !done.is_complete {
        assert!(done.text.contains("RETENTION_MAX_GB"), "{}", done.text);
    } else {
        assert!(done.is_complete && stores.live.size().await.unwrap().bytes <= 1_000_000, "{}", done.text);
    }
}

#[tokio::test]
async fn a_store_above_its_limit_without_aggregated_days_is_reported_and_keeps_everything() {
    let stores = Stores::new().await;
    let bitcoin = symbol("BTC/USDT");
    for days_ago in (1..=6).rev() {
        stores.live.write_ticks(&day_of_ticks(bitcoin, days_ago, 2_000)).await.unwrap();
    }
    let done = prune(&stores, &["--retention-max-gb", "0.001"]).await;
    assert!(!done.is_complete && done.text.contains("old days are kept"), "{}", done.text);
    assert_eq!(days(&stores, bitcoin).await.len(), 6);
}
