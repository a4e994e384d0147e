//! Marked days in the collection `stale_days`. Every call writes documents one by one, each whole.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use market::Symbol;
use mongodb::bson::{DateTime as BsonDate, Document, RawDocument, doc};

use super::{MAX_DAYS, StaleDay, StaleDayStore};
use crate::{
    Result,
    mongo::{
        MongoStore,
        command::Write,
        fields::{RowError, text, time, unsigned},
        schema::{Collection, raw},
    },
};

const COLLECTION: &str = "stale_days";

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/stale_days.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl StaleDayStore for MongoStore {
    async fn mark_stale(&self, days: &BTreeSet<(Symbol, NaiveDate)>, now: DateTime<Utc>) -> Result<()> {
        let statements = days
            .iter()
            .map(|(symbol, date)| raw(self, &mark_statement(*symbol, *date, now)))
            .collect::<Result<Vec<_>>>()?;
        let what = "cannot mark a day";
        let taken = self.upsert(what, COLLECTION, &statements).await?;
        match taken.first() {
            None => Ok(()),
            Some(_) => {
                Err(self.unavailable(format!("{what}: {} of them were marked meanwhile", taken.len())))
            }
        }
    }

    async fn stale_days(&self, symbol: Symbol) -> Result<Vec<StaleDay>> {
        let filter = doc! { "symbol": symbol.as_str() };
        let found = self
            .find("cannot read the marked days", COLLECTION, filter, |find| {
                find.sort(doc! { "date": 1 }).limit(i64::from(MAX_DAYS))
            })
            .await?;
        self.decode(COLLECTION, &found, decode)
    }

    async fn unmark_stale(&self, days: &[StaleDay]) -> Result<u64> {
        let mut removed = 0;
        for day in days {
            let statement = raw(self, &unmark_statement(day))?;
            let statements = [statement].iter().collect();
            removed +=
                self.write("cannot unmark a day", Write::Delete, COLLECTION, &statements).await?.touched;
        }
        Ok(removed)
    }
}

fn id(symbol: Symbol, date: NaiveDate) -> String {
    format!("{symbol}:{date}")
}

/// Milliseconds are enough: marks are compared as the store has them, and counted beside.
fn millis(time: DateTime<Utc>) -> BsonDate {
    BsonDate::from_millis(time.timestamp_millis())
}

fn mark_statement(symbol: Symbol, date: NaiveDate, now: DateTime<Utc>) -> Document {
    doc! {
        "q": { "_id": id(symbol, date) },
        "u": {
            "$set": { "symbol": symbol.as_str(), "date": date.to_string(), "marked_at": millis(now) },
            "$inc": { "marks": 1_i64 },
        },
        "upsert": true,
    }
}

fn unmark_statement(day: &StaleDay) -> Document {
    doc! {
        "q": {
            "_id": id(day.symbol, day.date),
            "marked_at": millis(day.marked_at),
            "marks": day.marks.cast_signed(),
        },
        "limit": 1,
    }
}

fn decode(document: &RawDocument) -> Result<StaleDay, RowError> {
    Ok(StaleDay {
        symbol: text(document, "symbol", Symbol::parse)?,
        date: text(document, "date", str::parse)?,
        marked_at: time(document, "marked_at", "marked_at_us")?,
        marks: unsigned(document, "marks")?,
    })
}

#[cfg(test)]
fn sample() -> Document {
    let symbol = Symbol::parse("BTC/USDT").expect("a symbol");
    let statement = mark_statement(symbol, NaiveDate::default(), DateTime::UNIX_EPOCH);
    crate::mongo::upserted(&[mongodb::bson::RawDocumentBuf::try_from(&statement).expect("a document")])
}
