//! What the nouns read and remove alike. Everything is read from the primary: what was just written is there.

use market::Symbol;
use mongodb::{
    action::Find,
    bson::{Bson, Document, RawDocument, RawDocumentBuf, doc},
};

use super::{
    MongoStore,
    command::Write,
    fields::{self, RowError},
    schema::raw,
};
use crate::Result;

/// Documents that are removed by one command.
const PRUNE_DOCUMENTS: u32 = 2000;

impl MongoStore {
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

    /// The decoded documents, or the first error.
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

    /// The symbols of a collection, in order. A server with our index jumps from one to the next.
    pub(crate) async fn symbols_in(&self, collection: &str) -> Result<Vec<Symbol>> {
        let of = self.database.collection::<Document>(collection);
        let found =
            self.bounded("cannot list the symbols", async { of.distinct("symbol", doc! {}).await }).await?;
        let mut symbols = Vec::with_capacity(found.len());
        for value in found {
            let symbol = value.as_str().and_then(|text| Symbol::parse(text).ok());
            symbols.push(symbol.ok_or_else(|| {
                self.refused(format!("a document of {collection} is damaged: symbol is not valid"))
            })?);
        }
        symbols.sort_unstable();
        Ok(symbols)
    }

    /// Removes all documents that fulfil the conditions by one command. For few documents. How many.
    pub(crate) async fn remove_at_once(&self, what: &str, collection: &str, filter: Document) -> Result<u64> {
        let statements = [raw(self, &doc! { "q": filter, "limit": 0 })?].iter().collect();
        Ok(self.write(what, Write::Delete, collection, &statements).await?.touched)
    }

    /// Removes the documents of a symbol (the indexes in the order of time are by symbol) that fulfil the conditions, in bounded
    /// steps. Returns how many.
    pub(crate) async fn remove_of_symbol(
        &self,
        collection: &str,
        symbol: Symbol,
        conditions: Document,
        order: &Document,
    ) -> Result<u64> {
        let mut filter = doc! { "symbol": symbol.as_str() };
        filter.extend(conditions);
        self.remove_in_steps(collection, &filter, order).await
    }

    /// Removes the documents that the filter lets through, in bounded steps. Returns how many.
    pub(crate) async fn remove_in_steps(
        &self,
        collection: &str,
        filter: &Document,
        order: &Document,
    ) -> Result<u64> {
        let mut removed = 0;
        while let Some(step) = self.remove_step(collection, filter, order).await? {
            removed += step;
        }
        Ok(removed)
    }

    /// How many documents were removed; `None` where there was none left.
    async fn remove_step(
        &self,
        collection: &str,
        filter: &Document,
        order: &Document,
    ) -> Result<Option<u64>> {
        let what = "cannot prune";
        let found = self
            .find(what, collection, filter.clone(), |find| {
                find.projection(doc! { "_id": 1 })
                    .sort(order.clone())
                    .limit(i64::from(PRUNE_DOCUMENTS))
                    .batch_size(PRUNE_DOCUMENTS)
            })
            .await?;
        if found.is_empty() {
            return Ok(None);
        }
        let ids: Vec<Bson> =
            self.decode(collection, &found, fields::id)?.into_iter().map(Bson::String).collect();
        let statement = raw(self, &doc! { "q": { "_id": { "$in": ids } }, "limit": 0 })?;
        let statements = [statement].iter().collect();
        Ok(Some(self.write(what, Write::Delete, collection, &statements).await?.touched))
    }
}
