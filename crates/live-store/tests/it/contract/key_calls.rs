//! The ledger of the calls of keys.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CallPurpose, KeyCall, KeyId, KeyLimits, LiveStore};

use crate::{
    place::Place,
    samples::{at, time},
};

/// Of a free key of Alpha Vantage.
const FREE: KeyLimits = KeyLimits { per_minute: 5, prices_per_day: 20, news_per_day: 5 };
/// Without a limit a minute that counts here.
const DAILY: KeyLimits = KeyLimits { per_minute: 1_000, prices_per_day: 3, news_per_day: 2 };

fn key(secret: &str) -> KeyId {
    KeyId::of("alpha_vantage", &secret.into())
}

async fn take(
    store: &dyn LiveStore,
    key: &KeyId,
    purpose: CallPurpose,
    limits: &KeyLimits,
    now: DateTime<Utc>,
) -> Result<u32, DateTime<Utc>> {
    match store.take_call(key, purpose, limits, now).await.expect("a decision") {
        KeyCall::Taken { today } => Ok(today),
        KeyCall::Refused { free_at } => Err(free_at),
    }
}

/// Calls of the day and limit, by key and purpose.
async fn usage(store: &dyn LiveStore, now: DateTime<Utc>) -> BTreeMap<(KeyId, CallPurpose), (u32, u32)> {
    let usage = store.key_usage(now).await.expect("read");
    usage.into_iter().map(|of| ((of.key, of.purpose), (of.calls, of.limit))).collect()
}

pub(crate) async fn calls_are_taken_up_to_the_limits_of_a_day_and_a_minute(place: impl Place) {
    let store = place.open().await;
    let (key, prices) = (key("ONE"), CallPurpose::Prices);
    assert_eq!(usage(&*store, at(0)).await, BTreeMap::new());
    for n in 0..5_u32 {
        assert_eq!(take(&*store, &key, prices, &FREE, at(i64::from(n))).await, Ok(n + 1));
    }
    assert_eq!(take(&*store, &key, prices, &FREE, at(5)).await, Err(at(60)), "five a minute");
    // What is refused is not counted.
    assert_eq!(take(&*store, &key, prices, &FREE, at(60)).await, Ok(6));
    for n in 7..=20_u32 {
        assert_eq!(take(&*store, &key, prices, &FREE, at(i64::from(n) * 60)).await, Ok(n));
    }
    let midnight = time("2026-01-14T00:00:00Z");
    assert_eq!(take(&*store, &key, prices, &FREE, at(3_600)).await, Err(midnight), "twenty a day");
    let all = usage(&*store, at(3_600)).await;
    assert_eq!(all, BTreeMap::from([((key, prices), (20, 20))]));
    let last = store.key_usage(at(3_600)).await.expect("read").remove(0).last_at;
    assert_eq!(last, at(1_200));
}

pub(crate) async fn each_purpose_has_its_share_and_each_key_its_own_calls(place: impl Place) {
    let store = place.open().await;
    let (one, other) = (key("ONE"), key("OTHER"));
    for n in 1..=3 {
        assert_eq!(take(&*store, &one, CallPurpose::Prices, &DAILY, at(0)).await, Ok(n));
    }
    assert!(take(&*store, &one, CallPurpose::Prices, &DAILY, at(1)).await.is_err());
    assert_eq!(
        take(&*store, &one, CallPurpose::News, &DAILY, at(2)).await,
        Ok(1),
        "news have calls of their own"
    );
    assert_eq!(take(&*store, &other, CallPurpose::Prices, &DAILY, at(3)).await, Ok(1));
    let expected = [
        ((one.clone(), CallPurpose::Prices), (3, 3)),
        ((one.clone(), CallPurpose::News), (1, 2)),
        ((other, CallPurpose::Prices), (1, 3)),
    ];
    assert_eq!(usage(&*store, at(4)).await, BTreeMap::from(expected));
    // A service whose shares differ: the sum of its shares holds for all purposes.
    let small = KeyLimits { prices_per_day: 2, ..DAILY };
    assert!(take(&*store, &one, CallPurpose::News, &small, at(5)).await.is_err(), "four of four");
}

pub(crate) async fn a_new_day_begins_with_all_calls_and_old_keys_are_removed(place: impl Place) {
    let store = place.open().await;
    let (old, key) = (key("OLD"), key("ONE"));
    take(&*store, &old, CallPurpose::News, &DAILY, at(0)).await.expect("taken");
    for n in 0..2 {
        take(&*store, &key, CallPurpose::News, &DAILY, at(n)).await.expect("taken");
    }
    let midnight = take(&*store, &key, CallPurpose::News, &DAILY, at(3)).await.expect_err("two a day");
    let of_keys = [((old, CallPurpose::News), (0, 2)), ((key.clone(), CallPurpose::News), (0, 2))];
    assert_eq!(usage(&*store, midnight).await, BTreeMap::from(of_keys));
    assert_eq!(take(&*store, &key, CallPurpose::News, &DAILY, midnight).await, Ok(1));
    let later = midnight + TimeDelta::days(7);
    assert_eq!(take(&*store, &key, CallPurpose::News, &DAILY, later).await, Ok(1));
    assert_eq!(usage(&*store, later).await, BTreeMap::from([((key, CallPurpose::News), (1, 2))]));
}

pub(crate) async fn several_processes_take_no_more_than_the_limit(place: impl Place) {
    let stores = [place.open().await, place.open().await];
    let limits = KeyLimits { per_minute: 1_000, prices_per_day: 7, news_per_day: 0 };
    // The second opening of a file of one process closes the first.
    let stores = stores.iter().skip(usize::from(stores[0].key_usage(at(0)).await.is_err()));
    let stores: Vec<_> = stores.cloned().collect();
    let taking = (0..12).map(|n| {
        let store = std::sync::Arc::clone(&stores[n % stores.len()]);
        tokio::spawn(async move { take(&*store, &key("ONE"), CallPurpose::Prices, &limits, at(0)).await })
    });
    let mut taken = Vec::new();
    for result in futures_util::future::join_all(taking).await {
        taken.extend(result.expect("no panic").ok());
    }
    taken.sort_unstable();
    assert_eq!(taken, [1, 2, 3, 4, 5, 6, 7]);
}

pub(crate) async fn calls_outlive_a_restart(place: impl Place) {
    let key = key("ONE");
    for n in 1..=3 {
        let store = place.open().await;
        assert_eq!(take(&*store, &key, CallPurpose::Prices, &DAILY, at(n)).await, Ok(n as u32));
    }
    let store = place.open().await;
    assert!(take(&*store, &key, CallPurpose::Prices, &DAILY, at(4)).await.is_err());
}
