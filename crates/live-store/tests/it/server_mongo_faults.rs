//! The server goes away, and answers are lost on the way.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use live_store::{LiveStore, LiveStoreError, StoredTick, TickOutcome};
use mongodb::bson::doc;

use crate::{
    mongo_place::MongoPlace,
    proxy::{Proxy, Wire},
    samples::{all_ticks, at, candle, ticks},
};

/// How long a store may take to find its server again.
const DEADLINE: Duration = Duration::from_mins(1);
/// So that a lost answer does not take half a minute to be missed.
const IMPATIENT: &str = "serverSelectionTimeoutMS=500&connectTimeoutMS=1000&socketTimeoutMS=2000";

/// A store that reaches its server through a wire of ours.
async fn through_a_wire() -> (MongoPlace, Proxy, Arc<dyn LiveStore>) {
    let place = MongoPlace::new();
    let proxy = Proxy::before(place.address()).await;
    let store = live_store::open(&place.url_through(proxy.port, IMPATIENT)).await.expect("opens");
    (place, proxy, store)
}

/// As the consumer does it: the same batch again, until the store takes it.
async fn write_until_taken(store: &dyn LiveStore, batch: &[StoredTick]) -> Vec<TickOutcome> {
    let began = Instant::now();
    loop {
        match store.write_ticks(batch).await {
            Ok(outcomes) => return outcomes,
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                assert!(began.elapsed() < DEADLINE, "still {error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_batch_whose_answer_was_lost_is_stored_once_and_reported_as_redelivered() {
    let (place, proxy, store) = through_a_wire().await;
    // The first command of a server that has just started may take longer than `IMPATIENT` allows.
    write_until_taken(&*store, &ticks(0..10)).await;
    let direct = live_store::open(place.url()).await.expect("opens");
    proxy.set(Wire::NoAnswers);
    let batch = ticks(10..3010);
    let error = store.write_ticks(&batch).await.expect_err("no answer came");
    assert!(matches!(&error, LiveStoreError::Unavailable { .. }), "{error}");
    let began = Instant::now();
    while all_ticks(&*direct, "AAPL", 5000).await.len() <= 10 {
        assert!(began.elapsed() < DEADLINE, "the server has stored nothing of the batch");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.set(Wire::Cut);
    proxy.set(Wire::Whole);
    let outcomes = write_until_taken(&*store, &batch).await;
    assert!(!outcomes.contains(&TickOutcome::Duplicate), "no other process stored these");
    let taken = |outcome: &TickOutcome| matches!(outcome, TickOutcome::Redelivered(_));
    assert!(outcomes.iter().any(taken), "the server had stored some of the batch");
    assert_eq!(all_ticks(&*store, "AAPL", 5000).await, ticks(0..3010));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_server_that_goes_away_in_the_middle_is_found_again() {
    let (_place, proxy, store) = through_a_wire().await;
    for round in 0..3 {
        let batch = ticks(round * 500..round * 500 + 500);
        proxy.set(Wire::Cut);
        for _ in 0..2 {
            let error = store.write_ticks(&batch).await.expect_err("away");
            assert!(matches!(&error, LiveStoreError::Unavailable { .. }), "{error}");
            assert!(error.is_transient());
            assert!(!error.to_string().contains('{'), "the driver's debug text: {error}");
        }
        let bar = candle(market::Interval::Minute, at(0), "binance", 100);
        assert!(store.write_candles(&[bar]).await.expect_err("away").is_transient());
        assert!(store.latest_ticks().await.expect_err("away").is_transient());
        proxy.set(Wire::Whole);
        assert_eq!(write_until_taken(&*store, &batch).await, vec![TickOutcome::New; 500]);
    }
    assert_eq!(all_ticks(&*store, "AAPL", 5000).await, ticks(0..1500));
}

/// The connection is cut at varying moments, while batches are in flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn nothing_is_lost_or_doubled_on_a_wire_that_is_cut_again_and_again() {
    let (place, proxy, store) = through_a_wire().await;
    let total = 60_u64;
    let cutting = async {
        for pause in (0..40_u64).map(|n| 3 + n * 7919 % 41) {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            proxy.set(if pause % 3 == 0 { Wire::NoAnswers } else { Wire::Whole });
            tokio::time::sleep(Duration::from_millis(pause)).await;
            proxy.set(Wire::Cut);
            proxy.set(Wire::Whole);
        }
    };
    let writing = async {
        for n in 0..total {
            let outcomes = write_until_taken(&*store, &ticks(n * 50..n * 50 + 50)).await;
            assert!(!outcomes.contains(&TickOutcome::Duplicate));
        }
    };
    tokio::join!(cutting, writing);
    assert_eq!(all_ticks(&*store, "AAPL", 5000).await, ticks(0..total * 50));
    let stored = place.raw().await.collection::<mongodb::bson::Document>("realtime_prices");
    assert_eq!(stored.count_documents(doc! {}).await.expect("counted"), total * 50);
}
