//! What only MongoDB itself has: validators, plans that follow indexes, users. The user in `MONGODB_URI` must be allowed to
//! make others.

use live_store::LiveStoreError;
use mongodb::bson::{Bson, Document, doc};

use crate::{
    mongo_place::MongoPlace,
    place::Place,
    samples::{all_ticks, tick, ticks},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a MongoDB, which MONGODB_URI names: `make test-servers-strict`"]
async fn nothing_is_refused_and_the_second_look_finds_all_as_it_should_be() {
    let place = MongoPlace::real();
    let first = live_store::migrate(place.url()).await.expect("prepared");
    assert_eq!(first.refused, Vec::<String>::new());
    let second = live_store::migrate(place.url()).await.expect("prepared");
    assert_eq!((second.done, second.refused), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a MongoDB, which MONGODB_URI names: `make test-servers-strict`"]
async fn the_validator_refuses_what_is_no_tick_and_takes_what_is() {
    let place = MongoPlace::real();
    let store = place.open().await;
    store.write_ticks(&ticks(0..3)).await.expect("stored");
    let prices = place.raw().await.collection::<Document>("realtime_prices");
    let error = prices.insert_one(doc! { "_id": "x", "symbol": "AAPL" }).await.expect_err("refused");
    assert!(error.to_string().contains("121"), "{error}");
    let changed = doc! { "$set": { "price": "much" } };
    prices.update_one(doc! { "_id": "binance:AAPL:1" }, changed).await.expect_err("refused");
    assert_eq!(all_ticks(&*store, "AAPL", 10).await, ticks(0..3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a MongoDB, which MONGODB_URI names: `make test-servers-strict`"]
async fn a_changed_validator_is_put_right() {
    let place = MongoPlace::real();
    place.open().await;
    let loose = doc! { "collMod": "candles", "validator": {} };
    place.raw().await.run_command(loose).await.expect("changed");
    let migration = live_store::migrate(place.url()).await.expect("prepared");
    assert_eq!(migration.done, ["candles has its validator"]);
}

/// With millions of ticks a scan takes seconds; which way the server goes must not be left to chance.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a MongoDB, which MONGODB_URI names: `make test-servers-strict`"]
async fn a_page_of_ticks_follows_the_index_and_sorts_nothing() {
    let place = MongoPlace::real();
    let store = place.open().await;
    store.write_ticks(&ticks(0..2000)).await.expect("stored");
    let from = mongodb::bson::DateTime::from_millis(0);
    let order = doc! { "timestamp": 1, "timestamp_us": 1, "source": 1, "seq": 1 };
    let find = doc! { "find": "realtime_prices", "sort": order, "limit": 100, "filter": {
        "symbol": "AAPL",
        "$and": [{ "timestamp": { "$gte": from, "$lte": from } }, { "timestamp": { "$lt": from } }],
    } };
    let explained = doc! { "explain": find, "verbosity": "queryPlanner" };
    let plan = place.raw().await.run_command(explained).await.expect("explained");
    let winning = Bson::from(plan.get_document("queryPlanner").expect("a plan").clone()).to_string();
    let winning = winning.split("rejectedPlans").next().expect("a plan").to_owned();
    assert!(winning.contains("symbol_timestamp"), "{winning}");
    assert!(!winning.contains("COLLSCAN") && !winning.contains("\"SORT\""), "{winning}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a MongoDB, which MONGODB_URI names: `make test-servers-strict`"]
async fn a_user_who_may_only_read_reads_and_is_told_what_it_may_not() {
    let place = MongoPlace::real();
    let store = place.open().await;
    store.write_ticks(&ticks(0..3)).await.expect("stored");
    let user = doc! { "createUser": "reader", "pwd": "geheim", "roles": ["read"] };
    place.raw().await.run_command(user).await.expect("made");
    let reading = live_store::open(&place.url_as("reader", "geheim", place.database())).await.expect("opens");
    assert_eq!(all_ticks(&*reading, "AAPL", 10).await, ticks(0..3));
    let error = reading.write_ticks(&[tick(4)]).await.expect_err("refused");
    place.raw().await.run_command(doc! { "dropUser": "reader" }).await.expect("removed");
    assert!(matches!(&error, LiveStoreError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("readWrite") && !error.to_string().contains("geheim"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a MongoDB, which MONGODB_URI names: `make test-servers-strict`"]
async fn a_time_series_in_place_of_the_collection_is_refused() {
    let place = MongoPlace::real();
    let command = doc! { "create": "realtime_prices", "timeseries": { "timeField": "timestamp" } };
    place.raw().await.run_command(command).await.expect("made");
    let Err(error) = live_store::open(place.url()).await else { panic!("it was opened") };
    assert!(error.to_string().contains("not a plain collection"), "{error}");
}
