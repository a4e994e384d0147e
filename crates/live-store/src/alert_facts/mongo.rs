//! Facts in the collection `alert_facts`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mongodb::bson::{RawDocument, RawDocumentBuf, doc, raw::cstr};

use super::{AlertFactStore, behind};
use crate::{
    Result,
    mongo::{
        MongoStore,
        command::Write,
        fields::{self, RowError, append_time, text},
        schema::{Collection, raw},
        times::Moment,
    },
};

const COLLECTION: &str = "alert_facts";

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/alert_facts.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl AlertFactStore for MongoStore {
    async fn keep_alert_fact(&self, id: &str, body: &str, now: DateTime<Utc>) -> Result<String> {
        let document = encode(id, body, now)
            .map_err(|error| self.refused(format!("cannot store the alert fact {id}: {error}")))?;
        let statements = [document].iter().collect();
        let reply = self.write("cannot store an alert fact", Write::Insert, COLLECTION, &statements).await?;
        if reply.taken.is_empty() {
            return Ok(body.to_owned());
        }
        let stored = self.alert_fact(id).await?;
        stored.ok_or_else(|| self.unavailable(format!("the alert fact {id} was removed meanwhile")))
    }

    async fn alert_fact(&self, id: &str) -> Result<Option<String>> {
        let filter = doc! { "_id": id };
        let found = self.find("cannot read an alert fact", COLLECTION, filter, |find| find.limit(1)).await?;
        Ok(self.decode(COLLECTION, &found, decode)?.into_iter().next())
    }

    async fn prune_alert_facts(&self, prefix: &str, before: DateTime<Utc>) -> Result<u64> {
        let before = Moment::range_end(before);
        let filter = doc! {
            "_id": { "$gte": prefix, "$lt": behind(prefix) },
            "created_at": { "$lt": before.date() },
        };
        let statements = [raw(self, &doc! { "q": filter, "limit": 0 })?].iter().collect();
        Ok(self.write("cannot prune alert facts", Write::Delete, COLLECTION, &statements).await?.touched)
    }
}

fn encode(id: &str, body: &str, now: DateTime<Utc>) -> Result<RawDocumentBuf, RowError> {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!("_id"), id);
    document.append(cstr!("body"), body);
    append_time(&mut document, cstr!("created_at"), cstr!("created_at_us"), now)?;
    Ok(document)
}

fn decode(document: &RawDocument) -> Result<String, RowError> {
    fields::time(document, "created_at", "created_at_us")?;
    text(document, "body", |body| Ok::<_, RowError>(body.to_owned()))
}

#[cfg(test)]
fn sample() -> mongodb::bson::Document {
    let sample = encode("rules:0", "[]", DateTime::UNIX_EPOCH).expect("a document");
    mongodb::bson::Document::try_from(&sample).expect("a document")
}
