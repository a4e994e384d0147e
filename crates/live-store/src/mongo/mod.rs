//! The MongoDB adapter. It needs nothing of a server but atomic writes of one document and unique `_id`s: no
//! transactions, no sessions, no validators. Every write is repeatable, because identities are made here. The nouns
//! implement their traits for [`MongoStore`]; here is what they share.

pub(crate) mod command;
mod connect;
pub(crate) mod documents;
pub(crate) mod failure;
pub(crate) mod fields;
mod look;
mod query;
pub(crate) mod schema;
mod size;
pub(crate) mod times;
mod upsert;

pub(crate) use look::look;

use std::time::Duration;

use async_trait::async_trait;
use mongodb::{Database, bson::RawDocumentBuf};

use crate::{CloseStore, LiveStoreError, Result};

/// The store in one database.
pub(crate) struct MongoStore {
    database: Database,
    /// How messages name this store: the URL without credentials and settings.
    pub(crate) place: String,
    /// What a write waits for.
    pub(crate) write_concern: RawDocumentBuf,
    /// How long one command may take, from choosing a server to the whole response.
    command_timeout: Duration,
}

impl MongoStore {
    pub(crate) fn refused(&self, reason: impl Into<String>) -> LiveStoreError {
        LiveStoreError::Refused { place: self.place.clone(), reason: reason.into() }
    }

    pub(crate) fn unavailable(&self, reason: impl Into<String>) -> LiveStoreError {
        LiveStoreError::Unavailable { place: self.place.clone(), reason: reason.into() }
    }
}

#[async_trait]
impl CloseStore for MongoStore {
    /// The server has everything that was written.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// The document that update statements, applied in turn, make where none was.
#[cfg(test)]
pub(crate) fn upserted(statements: &[RawDocumentBuf]) -> mongodb::bson::Document {
    let mut made = mongodb::bson::Document::new();
    for statement in statements {
        let statement = mongodb::bson::Document::try_from(statement).expect("a document");
        let query =
            statement.get_document("q").or_else(|_| statement.get_document("query")).expect("a filter");
        let update =
            statement.get_document("u").or_else(|_| statement.get_document("update")).expect("an update");
        made.extend(query.get("_id").map(|id| ("_id".to_owned(), id.clone())));
        for operator in ["$inc", "$setOnInsert", "$set", "$max"] {
            if let Ok(fields) = update.get_document(operator) {
                made.extend(fields.clone());
            }
        }
    }
    made
}
