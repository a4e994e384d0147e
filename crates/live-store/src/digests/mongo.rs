//! Digests in the collection `digests`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mongodb::bson::{
    DateTime as BsonDate, RawDocument, RawDocumentBuf, deserialize_from_slice, doc, rawdoc,
    serialize_to_raw_document_buf,
};
use serde::{Deserialize, Serialize};

use super::{Digest, DigestStore, MAX_DIGESTS};
use crate::{
    ArticleId, Result,
    mongo::{
        MongoStore,
        fields::{self, RowError, date, read_date},
        schema::Collection,
    },
};

const COLLECTION: &str = "digests";

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/digests.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

/// The document of a digest, without its `_id`.
#[derive(Serialize, Deserialize)]
struct DigestRow {
    reader: String,
    created_at: BsonDate,
    stories: Vec<ArticleId>,
}

#[async_trait]
impl DigestStore for MongoStore {
    async fn record_digest(&self, digest: &Digest) -> Result<Digest> {
        let statement = statement(digest)
            .map_err(|error| self.refused(format!("cannot record the digest {}: {error}", digest.id)))?;
        self.upsert("cannot record a digest", COLLECTION, &[statement]).await?;
        let filter = doc! { "_id": digest.id.as_str() };
        let found = self.find("cannot read a digest", COLLECTION, filter, |find| find.limit(1)).await?;
        let recorded = self.decode(COLLECTION, &found, decode)?.pop();
        recorded.ok_or_else(|| self.unavailable(format!("the digest {} was not recorded", digest.id)))
    }

    async fn digests_of(&self, reader: &str, since: DateTime<Utc>) -> Result<Vec<Digest>> {
        let filter = doc! { "reader": reader, "created_at": { "$gte": date(since) } };
        let found = self
            .find("cannot read digests", COLLECTION, filter, |find| {
                find.sort(doc! { "created_at": -1, "_id": -1 }).limit(MAX_DIGESTS as i64)
            })
            .await?;
        self.decode(COLLECTION, &found, decode)
    }

    async fn prune_digests(&self, before: DateTime<Utc>) -> Result<u64> {
        let filter = doc! { "created_at": { "$lt": date(before) } };
        self.remove_in_steps(COLLECTION, &filter, &doc! { "created_at": 1 }).await
    }
}

/// Changes nothing where there is one.
fn statement(digest: &Digest) -> Result<RawDocumentBuf, RowError> {
    let row = DigestRow {
        reader: digest.reader.clone(),
        created_at: date(digest.created_at),
        stories: digest.stories.clone(),
    };
    let row = serialize_to_raw_document_buf(&row)?;
    Ok(rawdoc! { "q": { "_id": digest.id.as_str() }, "u": { "$setOnInsert": row }, "upsert": true })
}

fn decode(document: &RawDocument) -> Result<Digest, RowError> {
    let row: DigestRow = deserialize_from_slice(document.as_bytes())?;
    Ok(Digest {
        id: fields::id(document)?,
        reader: row.reader,
        created_at: read_date("created_at", row.created_at)?,
        stories: row.stories,
    })
}

#[cfg(test)]
fn sample() -> mongodb::bson::Document {
    let digest = Digest {
        id: "digest:a@example.com:2026-01-14".to_owned(),
        reader: "a@example.com".to_owned(),
        created_at: DateTime::UNIX_EPOCH,
        stories: vec![ArticleId::parse(&"0a".repeat(16)).expect("an identity")],
    };
    crate::mongo::upserted(&[statement(&digest).expect("a statement")])
}
