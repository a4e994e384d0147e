//! The collections, their indexes, and the format of the documents.

use mongodb::bson::{RawDocumentBuf, rawdoc};

use super::{CANDLES, MongoStore, REALTIME_PRICES};
use crate::Result;

/// Brings the database to the newest format, or refuses it.
pub(super) async fn prepare(store: &MongoStore) -> Result<()> {
    let ticks = rawdoc! { "symbol": 1, "timestamp": 1, "timestamp_us": 1, "source": 1, "seq": 1 };
    create_index(store, REALTIME_PRICES, ticks).await?;
    let candles = rawdoc! { "symbol": 1, "interval": 1, "time": 1, "time_us": 1, "source": 1 };
    create_index(store, CANDLES, candles).await
}

async fn create_index(store: &MongoStore, collection: &str, key: RawDocumentBuf) -> Result<()> {
    let command = rawdoc! { "createIndexes": collection, "indexes": [{ "key": key, "name": "in_order" }] };
    store.run("cannot create an index", command).await.map(drop)
}
