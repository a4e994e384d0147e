//! Users in the collection `users`. That addresses are unique is a matter of its unique index: without it no user is added.

use accounts::{Digest, DigestHour, PasswordHash, Secret, Threshold, User, UserId, parse_time_zone};
use async_trait::async_trait;
use market::Symbol;
use mongodb::bson::{Document, RawBsonRef, RawDocument, doc};
use owed_mails::EmailAddress;

use super::{MAX_PAGE_USERS, UserStore};
use crate::{
    Result,
    mongo::{
        MongoStore,
        command::Write,
        fields::{self, RowError, unexpected},
        schema::{Collection, raw},
        times::Moment,
    },
};

const COLLECTION: &str = "users";
/// The field of the unique index.
const EMAIL_KEY: &str = "email_key";

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/users.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl UserStore for MongoStore {
    async fn add_user(&self, user: &User) -> Result<bool> {
        if !self.has_unique_index(COLLECTION, EMAIL_KEY).await? {
            return Err(self.refused(
                "the collection users lacks its unique index of addresses: run `tapedeck migrate` as a user of the database who may \
                 create indexes (role readWrite)",
            ));
        }
        let mut document =
            changing(user).map_err(|error| self.refused(format!("cannot store a user: {error}")))?;
        document.extend(fixed(user));
        document.insert("revision", user.revision.cast_signed());
        let documents = [raw(self, &document)?].iter().collect();
        let reply = self.write("cannot add a user", Write::Insert, COLLECTION, &documents).await?;
        Ok(reply.taken.is_empty())
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        Ok(self.find_users(doc! { "_id": id.to_string() }, 1).await?.into_iter().next())
    }

    async fn user_of(&self, email: &EmailAddress) -> Result<Option<User>> {
        Ok(self.find_users(doc! { EMAIL_KEY: email.key() }, 1).await?.into_iter().next())
    }

    async fn change_user(&self, user: &User) -> Result<bool> {
        let changes =
            changing(user).map_err(|error| self.refused(format!("cannot store a user: {error}")))?;
        let statement = doc! {
            "q": { "_id": user.id.to_string(), "revision": user.revision.cast_signed() },
            "u": { "$set": changes, "$inc": { "revision": 1_i64 } },
        };
        let statements = [raw(self, &statement)?].iter().collect();
        Ok(self.write("cannot change a user", Write::Update, COLLECTION, &statements).await?.touched > 0)
    }

    async fn users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>> {
        // Every identity is behind the empty text.
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        self.find_users(doc! { "_id": { "$gt": after } }, limit.min(MAX_PAGE_USERS)).await
    }

    async fn remove_user(&self, id: UserId, revision: Option<u64>) -> Result<bool> {
        let mut filter = doc! { "_id": id.to_string() };
        filter.extend(revision.map(|revision| ("revision".to_owned(), revision.cast_signed().into())));
        Ok(self.remove_at_once("cannot remove a user", COLLECTION, filter).await? > 0)
    }
}

impl MongoStore {
    async fn find_users(&self, filter: Document, limit: u32) -> Result<Vec<User>> {
        let found = self
            .find("cannot read users", COLLECTION, filter, |find| {
                find.sort(doc! { "_id": 1 }).limit(i64::from(limit)).batch_size(limit)
            })
            .await?;
        self.decode(COLLECTION, &found, decode)
    }
}

/// The fields that no change touches.
fn fixed(user: &User) -> Document {
    doc! { "_id": user.id.to_string(), "email": user.email.as_str(), EMAIL_KEY: user.email.key() }
}

fn changing(user: &User) -> Result<Document, RowError> {
    let confirmed_at = user.confirmed_at.map(fields::moment).transpose()?;
    let created_at = fields::moment(user.created_at)?;
    let symbols: Vec<&str> = user.watch_list.iter().map(Symbol::as_str).collect();
    Ok(doc! {
        "password_hash": user.password.as_str(),
        "confirmed_at": confirmed_at.map(Moment::date),
        "confirmed_at_us": confirmed_at.map_or(0, Moment::micros),
        "time_zone": user.time_zone.name(),
        "watch_list": symbols,
        "threshold_percent": user.threshold.map(Threshold::percent),
        "mails_alerts": user.mails_alerts,
        "digest": user.digest.is_on,
        "digest_hour": i32::from(user.digest.hour.get()),
        "unsubscribe_key": user.unsubscribe_key.expose(),
        "created_at": created_at.date(),
        "created_at_us": created_at.micros(),
    })
}

fn decode(document: &RawDocument) -> Result<User, RowError> {
    let threshold = match document.get("threshold_percent")? {
        None | Some(RawBsonRef::Null) => None,
        Some(_) => Some(Threshold::new(fields::number(document, "threshold_percent")?)?),
    };
    let hour = fields::unsigned(document, "digest_hour")?.to_string();
    Ok(User {
        id: fields::text(document, "_id", str::parse::<UserId>)?,
        email: fields::text(document, "email", EmailAddress::parse)?,
        password: fields::text(document, "password_hash", PasswordHash::parse)?,
        confirmed_at: fields::optional_time(document, "confirmed_at", "confirmed_at_us")?,
        time_zone: fields::text(document, "time_zone", parse_time_zone)?,
        watch_list: symbols(document)?,
        threshold,
        mails_alerts: boolean(document, "mails_alerts")?,
        digest: Digest { is_on: boolean(document, "digest")?, hour: DigestHour::parse(&hour)? },
        unsubscribe_key: fields::text(document, "unsubscribe_key", str::parse::<Secret>)?,
        created_at: fields::time(document, "created_at", "created_at_us")?,
        revision: fields::unsigned(document, "revision")?,
    })
}

fn boolean(document: &RawDocument, name: &str) -> Result<bool, RowError> {
    match fields::field(document, name)? {
        RawBsonRef::Boolean(value) => Ok(value),
        other => Err(unexpected(name, "true or false", other)),
    }
}

fn symbols(document: &RawDocument) -> Result<Vec<Symbol>, RowError> {
    let RawBsonRef::Array(listed) = fields::field(document, "watch_list")? else {
        return Err("watch_list is not a list".into());
    };
    let parsed = listed.into_iter().map(|symbol| match symbol? {
        RawBsonRef::String(text) => Ok(Symbol::parse(text)?),
        other => Err(unexpected("watch_list", "a list of texts", other)),
    });
    parsed.collect()
}

#[cfg(test)]
fn sample() -> Document {
    let hash =
        "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";
    let email = EmailAddress::parse("jane@example.com").expect("an address");
    let mut user = User::new(email, PasswordHash::parse(hash).expect("a hash"), chrono::DateTime::UNIX_EPOCH);
    user.confirmed_at = Some(chrono::DateTime::UNIX_EPOCH);
    let mut sample = changing(&user).expect("fields");
    sample.extend(fixed(&user));
    sample.insert("revision", 0_i64);
    sample
}
