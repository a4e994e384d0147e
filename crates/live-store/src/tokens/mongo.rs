//! Tokens in the collection `tokens`.

use accounts::{OneTimeToken, SecretHash, TokenPurpose, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mongodb::bson::{Document, RawDocument, doc};

use super::TokenStore;
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

const COLLECTION: &str = "tokens";
const END: TimeFields = TimeFields::new("expires_at", "expires_at_us");

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/tokens.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl TokenStore for MongoStore {
    async fn add_token(&self, token: &OneTimeToken) -> Result<()> {
        let document =
            encode(token).map_err(|error| self.refused(format!("cannot store a token: {error}")))?;
        let documents = [raw(self, &document)?].iter().collect();
        // A hash that is taken is that of a repetition of this call.
        self.write("cannot add a token", Write::Insert, COLLECTION, &documents).await.map(drop)
    }

    async fn token(&self, hash: SecretHash) -> Result<Option<OneTimeToken>> {
        let filter = doc! { "_id": hash.to_string() };
        let found = self.find("cannot read a token", COLLECTION, filter, |find| find.limit(1)).await?;
        Ok(self.decode(COLLECTION, &found, decode)?.into_iter().next())
    }

    async fn remove_token(&self, hash: SecretHash) -> Result<bool> {
        Ok(self.remove_at_once("cannot remove a token", COLLECTION, doc! { "_id": hash.to_string() }).await?
            > 0)
    }

    async fn remove_tokens_of(&self, user: UserId) -> Result<u64> {
        self.remove_at_once("cannot remove tokens", COLLECTION, doc! { "user_id": user.to_string() }).await
    }

    async fn prune_tokens(&self, before: DateTime<Utc>) -> Result<u64> {
        self.remove_at_once("cannot remove tokens", COLLECTION, END.before(Moment::range_end(before))).await
    }
}

fn encode(token: &OneTimeToken) -> Result<Document, RowError> {
    let (created_at, expires_at) = (fields::moment(token.created_at)?, fields::moment(token.expires_at)?);
    Ok(doc! {
        "_id": token.hash.to_string(),
        "purpose": token.purpose.as_str(),
        "user_id": token.user.to_string(),
        "created_at": created_at.date(), "created_at_us": created_at.micros(),
        "expires_at": expires_at.date(), "expires_at_us": expires_at.micros(),
    })
}

fn decode(document: &RawDocument) -> Result<OneTimeToken, RowError> {
    Ok(OneTimeToken {
        hash: fields::text(document, "_id", str::parse::<SecretHash>)?,
        purpose: fields::text(document, "purpose", str::parse::<TokenPurpose>)?,
        user: fields::text(document, "user_id", str::parse::<UserId>)?,
        created_at: fields::time(document, "created_at", "created_at_us")?,
        expires_at: fields::time(document, "expires_at", "expires_at_us")?,
    })
}

#[cfg(test)]
fn sample() -> Document {
    let now = DateTime::UNIX_EPOCH;
    let secret = accounts::Secret::generate();
    let token = OneTimeToken::issue(&secret, TokenPurpose::Confirm, UserId::generate(now), now);
    encode(&token).expect("a document")
}
