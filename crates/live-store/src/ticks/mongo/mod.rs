//! Ticks in the collection `realtime_prices`.

mod insert;
mod row;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use market::Symbol;
use mongodb::bson::{Document, doc};

use super::{Cursor, PageRequest, TickStore};
use crate::{
    PruneRange, Result, StoredTick, TickOutcome, TickPage, TickQuery,
    mongo::{
        MongoStore,
        schema::Collection,
        times::{Moment, TimeFields},
    },
};

const COLLECTION: &str = "realtime_prices";
const TIMESTAMP: TimeFields = TimeFields::new("timestamp", "timestamp_us");
const PROCESSED_AT: TimeFields = TimeFields::new("processed_at", "processed_at_us");

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../../schema/mongodb/realtime_prices.json"),
    check: |document| row::decode(document).map(drop),
    #[cfg(test)]
    sample: row::sample,
};

/// Symbols whose newest tick is read at a time.
const SYMBOLS_IN_FLIGHT: usize = 8;

/// The order of the index behind the symbol.
fn tick_order(direction: i32) -> Document {
    doc! { "timestamp": direction, "timestamp_us": direction, "source": direction, "seq": direction }
}

/// Ticks behind this place. The index is followed by the first condition; the second is exact.
fn behind(cursor: &Cursor) -> Document {
    let at = Moment::range_end(cursor.timestamp);
    let (date, micros, source) = (at.date(), at.micros(), cursor.source.as_str());
    doc! { "timestamp": { "$gte": date }, "$or": [
        { "timestamp": { "$gt": date } },
        { "timestamp": date, "timestamp_us": { "$gt": micros } },
        { "timestamp": date, "timestamp_us": micros, "source": { "$gt": source } },
        {
            "timestamp": date, "timestamp_us": micros, "source": source,
            "seq": { "$gt": cursor.seq.cast_signed() },
        },
    ] }
}

#[async_trait]
impl TickStore for MongoStore {
    async fn write_ticks(&self, ticks: &[StoredTick]) -> Result<Vec<TickOutcome>> {
        self.insert_ticks(ticks).await
    }

    async fn ticks(&self, query: &TickQuery) -> Result<TickPage> {
        let request = PageRequest::of(query)?;
        let (from, to) = (Moment::range_end(query.from), Moment::range_end(query.to));
        let mut filter = doc! { "symbol": query.symbol.as_str() };
        filter.extend(match &request.after {
            Some(cursor) => doc! { "$and": [TIMESTAMP.before(to), behind(cursor)] },
            None => TIMESTAMP.between(from, to),
        });
        let rows = request.rows() as u32;
        let found = self
            .find("cannot read ticks", COLLECTION, filter, |find| {
                find.sort(tick_order(1)).limit(i64::from(rows)).batch_size(rows)
            })
            .await?;
        Ok(request.page(self.decode(COLLECTION, &found, row::decode)?))
    }

    /// For each symbol the end of its part of the index: as many steps as there are symbols, whatever the number of
    /// ticks.
    async fn latest_ticks(&self) -> Result<Vec<StoredTick>> {
        let symbols = self.tick_symbols().await?;
        let queries = symbols.into_iter().map(|symbol| self.latest_tick(symbol));
        let newest: Vec<Option<StoredTick>> =
            stream::iter(queries).buffered(SYMBOLS_IN_FLIGHT).try_collect().await?;
        Ok(newest.into_iter().flatten().collect())
    }

    async fn tick_symbols(&self) -> Result<Vec<Symbol>> {
        self.symbols_in(COLLECTION).await
    }

    async fn prune_ticks(&self, range: &PruneRange) -> Result<u64> {
        let [from, to, stored] = [range.from, range.to, range.stored_before].map(Moment::range_end);
        let conditions = doc! {
            "timestamp": { "$gte": from.date(), "$lte": to.date() },
            "$and": [TIMESTAMP.between(from, to), PROCESSED_AT.before(stored)],
        };
        self.remove_of_symbol(COLLECTION, range.symbol, conditions, &doc! { "timestamp": 1 }).await
    }
}

impl MongoStore {
    async fn latest_tick(&self, symbol: Symbol) -> Result<Option<StoredTick>> {
        let filter = doc! { "symbol": symbol.as_str() };
        let found = self
            .find("cannot read the newest tick", COLLECTION, filter, |find| {
                find.sort(tick_order(-1)).limit(1)
            })
            .await?;
        Ok(self.decode(COLLECTION, &found, row::decode)?.pop())
    }
}
