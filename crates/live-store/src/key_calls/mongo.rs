//! Calls of keys in the collection `key_calls`. A call is one update whose filter has the revision that was read: of two processes
//! at the same moment one matches nothing, and reads again.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use mongodb::bson::{Document, RawDocument, doc};

use super::{CallPurpose, KeyCall, KeyCallStore, KeyId, KeyLimits, KeyRow, KeyUsage, kept_from};
use crate::{
    Result,
    mongo::{
        MongoStore,
        command::Write,
        fields::{RowError, text, unsigned},
        schema::{Collection, raw},
    },
};

const COLLECTION: &str = "key_calls";
/// Processes that take a call of one key at the same moment, at most; each round one of them succeeds.
const MAX_ROUNDS: usize = 50;

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/key_calls.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl KeyCallStore for MongoStore {
    async fn take_call(
        &self,
        key: &KeyId,
        purpose: CallPurpose,
        limits: &KeyLimits,
        now: DateTime<Utc>,
    ) -> Result<KeyCall> {
        for _ in 0..MAX_ROUNDS {
            let found = self
                .find("cannot read the calls of a key", COLLECTION, doc! { "_id": key.as_str() }, |find| {
                    find.limit(1)
                })
                .await?;
            let row = self.decode(COLLECTION, &found, decode)?.into_iter().next();
            let row = row.map_or_else(|| KeyRow::new(now.date_naive()), |(_, row)| row);
            let before = row.revision;
            let (row, today) = match row.take(purpose, limits, now) {
                Ok(taken) => taken,
                Err(free_at) => return Ok(KeyCall::Refused { free_at }),
            };
            let statement = save_statement(key, before, &row)
                .map_err(|error| self.refused(format!("cannot store the calls of {key}: {error}")))?;
            let statements = [raw(self, &statement)?].iter().collect();
            let reply =
                self.write("cannot take a call of a key", Write::Update, COLLECTION, &statements).await?;
            if reply.touched > 0 && reply.taken.is_empty() {
                self.remove_at_once(
                    "cannot remove the calls of old keys",
                    COLLECTION,
                    doc! { "day": { "$lt": kept_from(now).to_string() } },
                )
                .await?;
                return Ok(KeyCall::Taken { today });
            }
        }
        Err(self.unavailable(format!("other processes took calls of {key} {MAX_ROUNDS} times in a row")))
    }

    async fn key_usage(&self, now: DateTime<Utc>) -> Result<Vec<KeyUsage>> {
        let found = self
            .find("cannot read the calls of the keys", COLLECTION, doc! {}, |find| {
                find.sort(doc! { "_id": 1 })
            })
            .await?;
        let rows = self.decode(COLLECTION, &found, decode)?;
        Ok(rows.into_iter().flat_map(|(key, row)| row.usage(&key, now).collect::<Vec<_>>()).collect())
    }
}

/// A key of another revision does not match the filter; its insertion is then refused, because its `_id` is taken.
fn save_statement(key: &KeyId, before: u64, row: &KeyRow) -> Result<Document, RowError> {
    Ok(doc! {
        "q": { "_id": key.as_str(), "revision": before.cast_signed() },
        "u": { "$set": {
            "day": row.day.to_string(),
            "calls": serde_json::to_string(&row.calls)?,
            "recent": serde_json::to_string(&row.recent)?,
            "revision": row.revision.cast_signed(),
        } },
        "upsert": true,
    })
}

fn decode(document: &RawDocument) -> Result<(KeyId, KeyRow), RowError> {
    let key = text(document, "_id", KeyId::stored)?;
    let row = KeyRow {
        day: text(document, "day", str::parse::<NaiveDate>)?,
        calls: text(document, "calls", |text| serde_json::from_str(text))?,
        recent: text(document, "recent", |text| serde_json::from_str(text))?,
        revision: unsigned(document, "revision")?,
    };
    Ok((key, row))
}

#[cfg(test)]
fn sample() -> Document {
    let key = KeyId::of("alpha_vantage", &"KEY".into());
    let limits = KeyLimits { per_minute: 5, prices_per_day: 20, news_per_day: 5 };
    let row = KeyRow::new(NaiveDate::default());
    let (row, _) = row.take(CallPurpose::Prices, &limits, DateTime::UNIX_EPOCH).expect("a call");
    let statement = save_statement(&key, 0, &row).expect("a statement");
    crate::mongo::upserted(&[mongodb::bson::RawDocumentBuf::try_from(&statement).expect("a document")])
}
