//! Removing what is old, a little at a time. Old is what both happened and was stored before: a recording of years ago
//! that was played today stays its time. That is why no TTL index does it, which knows one time.

use chrono::{DateTime, Utc};
use mongodb::bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, doc};

use super::{
    CANDLES, MongoStore, REALTIME_PRICES,
    command::Write,
    rows,
    times::{Moment, OPEN_TIME, PROCESSED_AT, STORED_AT, TIMESTAMP},
};
use crate::{Pruned, Result};

/// Documents per command.
const STEP_DOCUMENTS: u32 = 2000;

impl MongoStore {
    pub(crate) async fn remove_older(&self, before: DateTime<Utc>) -> Result<Pruned> {
        let before = Moment::range_end(before);
        let mut pruned = Pruned::default();
        // By symbol, because the indexes in order of time are by symbol.
        for symbol in self.symbols_in(REALTIME_PRICES).await? {
            let filter = doc! {
                "symbol": symbol.as_str(),
                "timestamp": { "$lte": before.date() },
                "$and": [TIMESTAMP.before(before), PROCESSED_AT.before(before)],
            };
            pruned.ticks += self.remove_in_steps(REALTIME_PRICES, &filter, doc! { "timestamp": 1 }).await?;
        }
        for symbol in self.symbols_in(CANDLES).await? {
            let filter = doc! {
                "symbol": symbol.as_str(),
                "interval": "1m",
                "time": { "$lte": before.date() },
                "$and": [OPEN_TIME.before(before), STORED_AT.before(before)],
            };
            pruned.candles += self.remove_in_steps(CANDLES, &filter, doc! { "time": 1 }).await?;
        }
        Ok(pruned)
    }

    async fn remove_in_steps(&self, collection: &str, filter: &Document, order: Document) -> Result<u64> {
        let what = "cannot prune";
        let mut removed = 0;
        loop {
            let found = self
                .find(what, collection, filter.clone(), |find| {
                    find.projection(doc! { "_id": 1 })
                        .sort(order.clone())
                        .limit(i64::from(STEP_DOCUMENTS))
                        .batch_size(STEP_DOCUMENTS)
                })
                .await?;
            if found.is_empty() {
                return Ok(removed);
            }
            let ids: Vec<Bson> =
                self.decode(collection, &found, rows::id)?.into_iter().map(Bson::String).collect();
            let statement = doc! { "q": { "_id": { "$in": ids } }, "limit": 0 };
            let statement = RawDocumentBuf::try_from(&statement)
                .map_err(|error| self.refused(format!("{what}: {error}")))?;
            let mut statements = RawArrayBuf::new();
            statements.push(&statement);
            removed += self.write(what, Write::Delete, collection, &statements).await?.touched;
            if found.len() < STEP_DOCUMENTS as usize {
                return Ok(removed);
            }
        }
    }
}
