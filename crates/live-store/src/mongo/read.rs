//! Reading ticks and bars. Everything is read from the primary: what was just written is there.

use futures_util::{StreamExt, TryStreamExt, stream};
use market::{Candle, Symbol};
use mongodb::{
    action::Find,
    bson::{Document, RawDocument, RawDocumentBuf, doc},
};

use super::{
    CANDLES, MongoStore, REALTIME_PRICES,
    rows::{self, RowError},
    times::{Moment, OPEN_TIME, TIMESTAMP},
};
use crate::{
    CandleQuery, MAX_CANDLES, MAX_PAGE_TICKS, Result, StoredTick, TickPage, TickQuery, cursor::Cursor,
};

/// Symbols whose newest tick is asked for at a time.
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

impl MongoStore {
    pub(crate) async fn read_ticks(&self, query: &TickQuery) -> Result<TickPage> {
        let cursor = query.cursor.as_deref().map(Cursor::decode).transpose()?;
        // A cursor of an earlier range says nothing about this one.
        let cursor = cursor.filter(|cursor| cursor.timestamp >= query.from);
        let wanted = query.limit.clamp(1, MAX_PAGE_TICKS);
        let (from, to) = (Moment::range_end(query.from), Moment::range_end(query.to));
        let mut filter = doc! { "symbol": query.symbol.as_str() };
        filter.extend(match &cursor {
            Some(cursor) => doc! { "$and": [TIMESTAMP.before(to), behind(cursor)] },
            None => TIMESTAMP.between(from, to),
        });
        // One more than wanted tells whether there is a next page.
        let rows = wanted as u32 + 1;
        let found = self
            .find("cannot read ticks", REALTIME_PRICES, filter, |find| {
                find.sort(tick_order(1)).limit(i64::from(rows)).batch_size(rows)
            })
            .await?;
        let mut ticks = self.decode(REALTIME_PRICES, &found, rows::tick)?;
        let more = ticks.len() > wanted;
        ticks.truncate(wanted);
        let next_cursor = ticks.last().filter(|_| more).map(|last| Cursor::of(&last.tick).encode());
        Ok(TickPage { ticks, next_cursor })
    }

    /// For each symbol the end of its part of the index: as many steps as there are symbols, whatever the number of
    /// ticks.
    pub(crate) async fn read_latest_ticks(&self) -> Result<Vec<StoredTick>> {
        let symbols = self.symbols_in(REALTIME_PRICES).await?;
        let questions = symbols.into_iter().map(|symbol| self.read_latest_tick(symbol));
        let newest: Vec<Option<StoredTick>> =
            stream::iter(questions).buffered(SYMBOLS_IN_FLIGHT).try_collect().await?;
        Ok(newest.into_iter().flatten().collect())
    }

    async fn read_latest_tick(&self, symbol: Symbol) -> Result<Option<StoredTick>> {
        let filter = doc! { "symbol": symbol.as_str() };
        let found = self
            .find("cannot read the newest tick", REALTIME_PRICES, filter, |find| {
                find.sort(tick_order(-1)).limit(1)
            })
            .await?;
        Ok(self.decode(REALTIME_PRICES, &found, rows::tick)?.pop())
    }

    pub(crate) async fn read_symbols(&self) -> Result<Vec<Symbol>> {
        let mut symbols = self.symbols_in(REALTIME_PRICES).await?;
        symbols.extend(self.symbols_in(CANDLES).await?);
        symbols.sort_unstable();
        symbols.dedup();
        Ok(symbols)
    }

    /// The symbols of a collection, in order. A server with our index jumps from one to the next.
    pub(crate) async fn symbols_in(&self, collection: &str) -> Result<Vec<Symbol>> {
        let of = self.database.collection::<Document>(collection);
        let found =
            self.bounded("cannot list the symbols", async { of.distinct("symbol", doc! {}).await }).await?;
        let mut symbols = Vec::with_capacity(found.len());
        for value in found {
            let symbol = value.as_str().and_then(|text| Symbol::parse(text).ok());
            symbols.push(symbol.ok_or_else(|| {
                self.refused(format!("a document of {collection} is damaged: symbol is none"))
            })?);
        }
        symbols.sort_unstable();
        Ok(symbols)
    }

    pub(crate) async fn read_candles(&self, query: &CandleQuery) -> Result<Vec<Candle>> {
        let rows = query.limit.clamp(1, MAX_CANDLES) as u32;
        let mut filter = doc! { "symbol": query.symbol.as_str(), "interval": query.interval.as_str() };
        filter.extend(OPEN_TIME.between(Moment::range_end(query.from), Moment::range_end(query.to)));
        let found = self
            .find("cannot read bars", CANDLES, filter, |find| {
                find.sort(doc! { "time": -1, "time_us": -1, "source": -1 })
                    .limit(i64::from(rows))
                    .batch_size(rows)
            })
            .await?;
        let mut candles = self.decode(CANDLES, &found, rows::candle)?;
        candles.reverse();
        Ok(candles)
    }

    /// All documents that the filter lets through. Queries are bounded by their limit, or by what they look for.
    pub(crate) async fn find(
        &self,
        what: &str,
        collection: &str,
        filter: Document,
        options: impl for<'a> FnOnce(Find<'a, RawDocumentBuf>) -> Find<'a, RawDocumentBuf>,
    ) -> Result<Vec<RawDocumentBuf>> {
        let collection = self.database.collection::<RawDocumentBuf>(collection);
        let reading = async {
            let mut cursor = options(collection.find(filter)).await?;
            let mut found = Vec::new();
            while cursor.advance().await? {
                found.push(cursor.current().to_owned());
            }
            Ok(found)
        };
        self.bounded(what, reading).await
    }

    /// What the documents say, or the first that is not what it should be.
    pub(crate) fn decode<T>(
        &self,
        collection: &str,
        found: &[RawDocumentBuf],
        decode: impl Fn(&RawDocument) -> Result<T, RowError>,
    ) -> Result<Vec<T>> {
        let decoded = found.iter().map(|document| {
            decode(document)
                .map_err(|error| self.refused(format!("a document of {collection} is damaged: {error}")))
        });
        decoded.collect()
    }
}
