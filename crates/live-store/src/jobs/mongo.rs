//! Jobs in the collection `job_runs`. Every call writes at most one document.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use job_runner::{JobStore, StoreError};
use mongodb::bson::{Document, RawBsonRef, RawDocument, doc};

use super::FREE;
use crate::{
    Result,
    mongo::{
        MongoStore,
        command::Write,
        fields::{RowError, date, read_date, unexpected},
        schema::{Collection, raw},
    },
};

const COLLECTION: &str = "job_runs";

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/job_runs.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl JobStore for MongoStore {
    async fn acquire(
        &self,
        job: &str,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        Ok(self.update_job("cannot lease a job", &acquire_statement(job, owner, now, until)).await?)
    }

    async fn renew(&self, job: &str, owner: &str, until: DateTime<Utc>) -> Result<bool, StoreError> {
        let statement =
            doc! { "q": { "_id": job, "owner": owner }, "u": { "$set": { "leased_until": date(until) } } };
        Ok(self.update_job("cannot renew the lease of a job", &statement).await?)
    }

    async fn release(
        &self,
        job: &str,
        owner: &str,
        finished: Option<DateTime<Utc>>,
    ) -> Result<bool, StoreError> {
        let statement = release_statement(job, owner, finished);
        Ok(self.update_job("cannot record a run of a job", &statement).await?)
    }

    async fn finished(&self, job: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        let filter = doc! { "_id": job };
        let found = self.find("cannot read a job", COLLECTION, filter, |find| find.limit(1)).await?;
        let found = self.decode(COLLECTION, &found, decode)?;
        Ok(found.into_iter().next().flatten())
    }
}

impl MongoStore {
    /// Whether the document was changed or created.
    async fn update_job(&self, what: &str, statement: &Document) -> Result<bool> {
        let statements = [raw(self, statement)?].iter().collect();
        let reply = self.write(what, Write::Update, COLLECTION, &statements).await?;
        Ok(reply.touched > 0 && reply.taken.is_empty())
    }
}

/// A job that another owner has does not match the filter; its insertion is then refused, because its `_id` is taken.
fn acquire_statement(job: &str, owner: &str, now: DateTime<Utc>, until: DateTime<Utc>) -> Document {
    doc! {
        "q": {
            "_id": job,
            "$or": [{ "owner": { "$in": [FREE, owner] } }, { "leased_until": { "$lte": date(now) } }],
        },
        "u": { "$set": { "owner": owner, "leased_until": date(until) } },
        "upsert": true,
    }
}

fn release_statement(job: &str, owner: &str, finished: Option<DateTime<Utc>>) -> Document {
    let mut update = doc! { "$set": { "owner": FREE } };
    if let Some(finished) = finished {
        update.insert("$max", doc! { "finished": date(finished) });
    }
    doc! { "q": { "_id": job, "owner": owner }, "u": update }
}

/// The newest finished run of a job.
fn decode(document: &RawDocument) -> Result<Option<DateTime<Utc>>, RowError> {
    match document.get("finished")? {
        None => Ok(None),
        // Milliseconds are fine enough for leases, and the times of a schedule are whole minutes.
        Some(RawBsonRef::DateTime(found)) => read_date("finished", found).map(Some),
        Some(other) => Err(unexpected("finished", "a date", other)),
    }
}

#[cfg(test)]
fn sample() -> Document {
    let now = DateTime::UNIX_EPOCH;
    let statements = [
        acquire_statement("prune", "consumer-1", now, now),
        release_statement("prune", "consumer-1", Some(now)),
    ];
    let statements: Vec<_> = statements
        .iter()
        .map(|statement| mongodb::bson::RawDocumentBuf::try_from(statement).expect("a document"))
        .collect();
    crate::mongo::upserted(&statements)
}
