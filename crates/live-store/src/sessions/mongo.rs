//! Sessions in the collection `sessions`.

use accounts::{SecretHash, Session, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mongodb::bson::{Document, RawDocument, doc};

use super::SessionStore;
use crate::{
    Result,
    mongo::{
        MongoStore,
        command::Write,
        fields::{self, RowError},
        schema::{Collection, raw},
        times::{Moment, TimeFields},
    },
};

const COLLECTION: &str = "sessions";
const END: TimeFields = TimeFields::new("expires_at", "expires_at_us");

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/sessions.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl SessionStore for MongoStore {
    async fn save_session(&self, session: &Session) -> Result<()> {
        let statement = save_statement(session)
            .map_err(|error| self.refused(format!("cannot store a session: {error}")))?;
        let statements = [raw(self, &statement)?];
        self.upsert("cannot store a session", COLLECTION, &statements).await.map(drop)
    }

    async fn renew_session(&self, session: &Session) -> Result<bool> {
        let used = used(session).map_err(|error| self.refused(format!("cannot store a session: {error}")))?;
        let statement = doc! { "q": { "_id": session.hash.to_string() }, "u": { "$set": used } };
        let statements = [raw(self, &statement)?].iter().collect();
        Ok(self.write("cannot renew a session", Write::Update, COLLECTION, &statements).await?.touched > 0)
    }

    async fn session(&self, hash: SecretHash) -> Result<Option<Session>> {
        Ok(self.find_sessions(doc! { "_id": hash.to_string() }).await?.into_iter().next())
    }

    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>> {
        self.find_sessions(doc! { "user_id": user.to_string() }).await
    }

    async fn remove_session(&self, hash: SecretHash) -> Result<bool> {
        let filter = doc! { "_id": hash.to_string() };
        Ok(self.remove_at_once("cannot remove a session", COLLECTION, filter).await? > 0)
    }

    async fn remove_sessions_of(&self, user: UserId) -> Result<u64> {
        self.remove_at_once("cannot remove sessions", COLLECTION, doc! { "user_id": user.to_string() }).await
    }

    async fn prune_sessions(&self, before: DateTime<Utc>) -> Result<u64> {
        self.remove_at_once("cannot remove sessions", COLLECTION, END.before(Moment::range_end(before))).await
    }
}

impl MongoStore {
    async fn find_sessions(&self, filter: Document) -> Result<Vec<Session>> {
        let order = doc! { "created_at": 1, "created_at_us": 1, "_id": 1 };
        let found = self.find("cannot read sessions", COLLECTION, filter, |find| find.sort(order)).await?;
        self.decode(COLLECTION, &found, decode)
    }
}

/// What changes when a session is used.
fn used(session: &Session) -> Result<Document, RowError> {
    let (seen_at, expires_at) = (fields::moment(session.seen_at)?, fields::moment(session.expires_at)?);
    Ok(doc! {
        "seen_at": seen_at.date(), "seen_at_us": seen_at.micros(),
        "expires_at": expires_at.date(), "expires_at_us": expires_at.micros(),
    })
}

fn save_statement(session: &Session) -> Result<Document, RowError> {
    let created_at = fields::moment(session.created_at)?;
    Ok(doc! {
        "q": { "_id": session.hash.to_string() },
        "u": {
            "$set": used(session)?,
            "$setOnInsert": {
                "user_id": session.user.to_string(),
                "created_at": created_at.date(), "created_at_us": created_at.micros(),
            },
        },
        "upsert": true,
    })
}

fn decode(document: &RawDocument) -> Result<Session, RowError> {
    Ok(Session {
        hash: fields::text(document, "_id", str::parse::<SecretHash>)?,
        user: fields::text(document, "user_id", str::parse::<UserId>)?,
        created_at: fields::time(document, "created_at", "created_at_us")?,
        seen_at: fields::time(document, "seen_at", "seen_at_us")?,
        expires_at: fields::time(document, "expires_at", "expires_at_us")?,
    })
}

#[cfg(test)]
fn sample() -> Document {
    let now = DateTime::UNIX_EPOCH;
    let session = Session::start(&accounts::Secret::generate(), UserId::generate(now), now);
    let statement = save_statement(&session).expect("a statement");
    crate::mongo::upserted(&[mongodb::bson::RawDocumentBuf::try_from(&statement).expect("a document")])
}
