//! What stands in the database, whose it is, and what outside readers find.

use live_store::LiveStoreError;
use mongodb::bson::{Bson, Document, doc, oid::ObjectId};
use rstest::rstest;

use crate::{
    mongo_place::MongoPlace,
    place::Place,
    samples::{all_ticks, at, candle, everything, tick, ticks},
};

async fn refused(url: &str) -> LiveStoreError {
    match live_store::open(url).await {
        Ok(_) => panic!("{url} was opened"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn preparing_a_database_twice_changes_nothing_the_second_time() {
    let place = MongoPlace::new();
    let first = live_store::migrate(place.url()).await.expect("prepared");
    let done = first.done.join("\n");
    for words in ["realtime_prices has its index symbol_timestamp", "candles has its index", "is now 2"] {
        assert!(done.contains(words), "{done}");
    }
    let store = place.open().await;
    store.write_ticks(&ticks(0..5)).await.expect("stored");
    let second = live_store::migrate(place.url()).await.expect("prepared");
    assert_eq!(second.done, Vec::<String>::new());
    assert_eq!(all_ticks(&*store, "AAPL", 10).await, ticks(0..5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn several_that_prepare_an_empty_database_at_once_all_succeed() {
    let place = MongoPlace::new();
    let preparing = (0..4).map(|_| live_store::migrate(place.url()));
    for migration in futures_util::future::join_all(preparing).await {
        migration.expect("prepared");
    }
    assert_eq!(live_store::migrate(place.url()).await.expect("prepared").done, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let place = MongoPlace::new();
    let formats = place.raw().await.collection::<Document>("schema_format");
    formats.insert_one(doc! { "_id": "live_store", "format": 99 }).await.expect("written");
    let error = refused(place.url()).await;
    assert!(matches!(error, LiveStoreError::NewerFormat { found: 99, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("upgrade"), "{error}");
    let collections = place.raw().await.list_collection_names().await.expect("listed");
    assert_eq!(collections, ["schema_format"]);
}

#[rstest]
#[case::prices("realtime_prices", doc! { "symbol": "AAPL", "price": 261.05 })]
#[case::prices_of_other_times("realtime_prices", doc! { "symbol": "AAPL", "timestamp": "2026-01-13" })]
#[case::candles("candles", doc! { "colour": "green" })]
#[case::checkpoints("checkpoints", doc! { "_id": ObjectId::new(), "x": 1 })]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_collection_with_somebody_elses_documents_is_refused_and_left_alone(
    #[case] name: &str,
    #[case] document: Document,
) {
    let place = MongoPlace::new();
    let database = place.raw().await;
    let collection = database.collection::<Document>(name);
    collection.insert_one(document.clone()).await.expect("written");
    let error = refused(place.url()).await;
    assert!(matches!(&error, LiveStoreError::Refused { .. }), "{error}");
    let text = error.to_string();
    for words in [name, database.name(), "not Tapedeck's", "STORE_URL", "rename"] {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(database.list_collection_names().await.expect("listed"), [name], "nothing was created");
    assert_eq!(collection.count_documents(doc! {}).await.expect("counted"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_collection_is_refused_also_where_other_documents_came_after_it_was_prepared() {
    let place = MongoPlace::new();
    let store = place.open().await;
    store.write_candles(&[candle(market::Interval::Minute, at(0), "binance", 100)]).await.expect("stored");
    live_store::migrate(place.url()).await.expect("its own documents are no obstacle");
    let candles = place.raw().await.collection::<Document>("candles");
    candles.insert_one(doc! { "_id": ObjectId::new(), "colour": "green" }).await.expect("written");
    let error = refused(place.url()).await;
    assert!(error.to_string().contains("not Tapedeck's"), "{error}");
    let error = live_store::check(place.url()).await.expect_err("the same");
    assert!(error.to_string().contains("not Tapedeck's"), "{error}");
    assert_eq!(candles.count_documents(doc! {}).await.expect("counted"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn readers_find_dates_doubles_and_the_identity() {
    let place = MongoPlace::new();
    let store = place.open().await;
    store.write_ticks(&[tick(7)]).await.expect("stored");
    let bar = candle(market::Interval::Minute, at(60), "binance/ticks", 101);
    store.write_candles(&[bar]).await.expect("stored");
    let database = place.raw().await;
    let read = async |name: &str| {
        let collection = database.collection::<Document>(name);
        collection.find_one(doc! {}).await.expect("read").expect("a document")
    };
    let prices = read("realtime_prices").await;
    let expected = [
        ("_id", Bson::from("binance:AAPL:7")),
        ("symbol", Bson::from("AAPL")),
        ("timestamp", date(at(7))),
        ("timestamp_us", Bson::Int32(0)),
        ("received_at_us", Bson::Int32(7)),
        ("price", Bson::Double(261.12)),
        ("volume", Bson::Double(287_051.0)),
        ("seq", Bson::Int64(7)),
        ("partition", Bson::Int32(1)),
        ("offset", Bson::Int64(7)),
    ];
    for (name, value) in expected {
        assert_eq!(prices.get(name), Some(&value), "{name}");
    }
    let candles = read("candles").await;
    let id = format!("binance/ticks:BTC/USDT:1m:{}", at(60).timestamp());
    let expected = [("_id", Bson::from(id)), ("time", date(at(60))), ("final", Bson::Boolean(true))];
    for (name, value) in expected {
        assert_eq!(candles.get(name), Some(&value), "{name}");
    }
}

fn date(time: chrono::DateTime<chrono::Utc>) -> Bson {
    Bson::DateTime(mongodb::bson::DateTime::from_millis(time.timestamp_millis()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_document_that_is_damaged_is_named() {
    let place = MongoPlace::new();
    let store = place.open().await;
    store.write_ticks(&ticks(0..3)).await.expect("stored");
    let prices = place.raw().await.collection::<Document>("realtime_prices");
    let damage = doc! { "$set": { "price": "much" } };
    prices.update_one(doc! { "_id": "binance:AAPL:1" }, damage).await.expect("damaged");
    let error = store.ticks(&everything("AAPL", 10)).await.expect_err("damaged");
    assert!(matches!(&error, LiveStoreError::Refused { .. }), "{error}");
    for words in ["realtime_prices", "price is not a number"] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_unique_index_of_somebody_elses_is_not_taken_for_a_tick_already_there() {
    let place = MongoPlace::new();
    let store = place.open().await;
    let index = doc! { "key": { "symbol": 1 }, "name": "one_each", "unique": true };
    let command = doc! { "createIndexes": "realtime_prices", "indexes": [index] };
    place.raw().await.run_command(command).await.expect("made");
    let error = store.write_ticks(&ticks(0..3)).await.expect_err("refused");
    assert!(matches!(&error, LiveStoreError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("unique indexes"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_login_that_fails_is_refused_without_its_password() {
    let place = MongoPlace::new();
    let url = place.url_as("somebody", "geheim", "admin");
    let error = refused(&url).await;
    assert!(matches!(&error, LiveStoreError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("authSource of STORE_URL"), "{error}");
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_look_tells_what_is_there_and_changes_nothing() {
    let place = MongoPlace::new();
    let found = live_store::check(place.url()).await.expect("looked at");
    assert!(found.found.contains("not prepared yet") && found.warnings.len() == 1, "{found:?}");
    assert_eq!(place.raw().await.list_collection_names().await.expect("listed"), Vec::<String>::new());
    let _ = place.open().await;
    let found = live_store::check(place.url()).await.expect("looked at");
    assert!(found.found.contains("may be written") && found.warnings.is_empty(), "{found:?}");
    let checkpoints = place.raw().await.collection::<Document>("checkpoints");
    assert_eq!(checkpoints.count_documents(doc! {}).await.expect("counted"), 0);
}
