//! What earlier versions stored is there after an upgrade.

use live_store::{Checkpoint, LiveStore};
use mongodb::bson::{Document, doc};
use sqlx::AssertSqlSafe;

use crate::{
    mongo_place::MongoPlace,
    place::{Place, SqlitePlace},
};

const FORMAT_1: &str =
    include_str!("../../../../schema/sqlite/live-store/0001_ticks_candles_checkpoints.sql");

/// A checkpoint of format 1: without owner, log and time.
fn old_checkpoint() -> Checkpoint {
    Checkpoint {
        processor: "consumer".to_owned(),
        topic: "stock-prices".to_owned(),
        partition: 1,
        generation: 0,
        next_offset: 4711,
        log_identity: None,
        caught_up_at: None,
        state: "{\"series\":[]}".to_owned(),
    }
}

async fn check(store: &dyn LiveStore) {
    assert_eq!(store.checkpoints("consumer").await.expect("read"), [old_checkpoint()]);
    let refused = store.save_checkpoints(&[old_checkpoint()]).await.expect("refused");
    assert_eq!(refused, [0], "nothing owns it");
    let claimed = store.claim("consumer", &[("stock-prices".into(), 1)]).await.expect("claimed");
    assert_eq!(claimed, [Checkpoint { generation: 1, ..old_checkpoint() }]);
    let next = [Checkpoint { next_offset: 4712, ..claimed[0].clone() }];
    assert_eq!(store.save_checkpoints(&next).await.expect("saved"), Vec::<usize>::new());
    assert_eq!(store.checkpoints("consumer").await.expect("read"), next);
}

#[tokio::test]
async fn a_file_of_format_1_keeps_its_checkpoints() {
    let place = SqlitePlace::new();
    let mut raw = place.raw().await;
    let script = format!(
        "{FORMAT_1}; PRAGMA user_version = 1; PRAGMA application_id = {};
         INSERT INTO checkpoints VALUES ('consumer', 'stock-prices', 1, 4711, '{{\"series\":[]}}')",
        0x5444_4c53
    );
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut raw).await.expect("made");
    drop(raw);
    let found = live_store::check(&place.url()).await.expect("looked at");
    assert!(found.found.contains("format 1 of "), "{found:?}");
    check(&*place.open().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a server of MongoDB's protocol, which MONGO_URL names: `make test-servers`"]
async fn a_database_of_format_1_on_a_server_keeps_its_checkpoints() {
    let place = MongoPlace::new();
    let database = place.raw().await;
    let formats = database.collection::<Document>("schema_format");
    formats.insert_one(doc! { "_id": "live_store", "format": 1_i64 }).await.expect("written");
    let old = doc! {
        "_id": "consumer:stock-prices:1", "processor": "consumer", "topic": "stock-prices", "partition": 1,
        "next_offset": 4711_i64, "state": "{\"series\":[]}",
    };
    database.collection::<Document>("checkpoints").insert_one(old).await.expect("written");
    let migration = live_store::migrate(place.url()).await.expect("prepared");
    assert!(migration.done.iter().any(|done| done.contains("is now 2")), "{migration:?}");
    check(&*place.open().await).await;
}
