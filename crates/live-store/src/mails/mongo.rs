//! Mails in the collection `mails`. Every call writes one document.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use mongodb::bson::{
    Binary, Bson, DateTime as BsonDate, Document, RawBsonRef, RawDocument, doc, spec::BinarySubtype,
};
use owed_mails::{
    EmailAddress, InlineImage, MAX_MAILS_TO, MailId, MailState, MailStore, OwedMail, StoreError, StoredMail,
};

use super::{FREE, LEASE_TRIES, MAILS, MailColumns, QUERY_IDS, StateColumns, in_order};
use crate::{
    Result,
    mongo::{
        MongoStore,
        command::{Write, integer},
        fields::{self, RowError, field, optional_text, text, unexpected, unsigned},
        schema::{Collection, raw},
    },
};

/// The collection in the list of the schema.
pub(crate) const SCHEMA: Collection = Collection {
    schema: include_str!("../../../../schema/mongodb/mails.json"),
    check: |document| decode(document).map(drop),
    #[cfg(test)]
    sample,
};

#[async_trait]
impl MailStore for MongoStore {
    async fn add_mail(&self, mail: &OwedMail) -> Result<bool, StoreError> {
        let documents = [raw(self, &document(mail))?].iter().collect();
        let reply = self.write("cannot store a mail", Write::Insert, MAILS, &documents).await?;
        Ok(reply.taken.is_empty())
    }

    async fn lease_mail(
        &self,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<StoredMail>, StoreError> {
        let is_due = doc! {
            "state": "owed",
            "next_try_at": { "$lte": date(now) },
            "$or": [{ "leased_until": Bson::Null }, { "leased_until": { "$lte": date(now) } }],
        };
        for _ in 0..LEASE_TRIES {
            let due = self
                .find("cannot read due mails", MAILS, is_due.clone(), |find| {
                    find.projection(doc! { "_id": 1 }).sort(doc! { "next_try_at": 1 }).limit(1)
                })
                .await?;
            let Some(id) = self.decode(MAILS, &due, id)?.into_iter().next() else { return Ok(None) };
            let mut filter = doc! { "_id": id.as_str() };
            filter.extend(is_due.clone());
            let update = doc! { "$set": { "owner": owner, "leased_until": date(until) } };
            if self.update_mail("cannot lease a mail", filter, update).await? {
                return Ok(self.mails(&[id]).await?.into_iter().next());
            }
        }
        Ok(None)
    }

    async fn renew_mail(&self, id: &MailId, owner: &str, until: DateTime<Utc>) -> Result<bool, StoreError> {
        let filter = doc! { "_id": id.as_str(), "owner": owner };
        let update = doc! { "$set": { "leased_until": date(until) } };
        Ok(self.update_mail("cannot renew the lease of a mail", filter, update).await?)
    }

    async fn finish_try(&self, id: &MailId, owner: &str, state: &MailState) -> Result<bool, StoreError> {
        let filter = doc! { "_id": id.as_str(), "owner": owner, "state": "owed" };
        let mut set = state_fields(state);
        set.extend(doc! { "owner": FREE, "leased_until": Bson::Null });
        Ok(self.update_mail("cannot store the state of a mail", filter, doc! { "$set": set }).await?)
    }

    async fn mails(&self, ids: &[MailId]) -> Result<Vec<StoredMail>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(QUERY_IDS) {
            let chunk: Vec<&str> = chunk.iter().map(MailId::as_str).collect();
            let filter = doc! { "_id": { "$in": chunk } };
            let documents = self.find("cannot read mails", MAILS, filter, |find| find).await?;
            found.extend(self.decode(MAILS, &documents, decode)?);
        }
        Ok(in_order(found, ids))
    }

    async fn mails_to(
        &self,
        recipient: &EmailAddress,
        since: DateTime<Utc>,
    ) -> Result<Vec<StoredMail>, StoreError> {
        let filter = doc! { "recipient_key": recipient.key(), "created_at": { "$gte": date(since) } };
        let found = self
            .find("cannot read mails", MAILS, filter, |find| {
                find.projection(doc! { "images": 0 })
                    .sort(doc! { "created_at": -1, "_id": -1 })
                    .limit(i64::from(MAX_MAILS_TO))
            })
            .await?;
        let mut mails = self.decode(MAILS, &found, decode)?;
        mails.reverse();
        Ok(mails)
    }

    async fn declined(&self, mail: &OwedMail) -> Result<Option<&'static str>, StoreError> {
        Ok(super::declined(self, mail).await?)
    }

    async fn owed_mails(&self) -> Result<u64, StoreError> {
        let command = raw(self, &doc! { "count": MAILS, "query": { "state": "owed" } })?;
        let reply = self.run("cannot count the owed mails", command).await?;
        let count = integer(reply.get("n")).and_then(|count| u64::try_from(count).ok());
        Ok(count.ok_or_else(|| self.refused("the server's reply lacks the number of owed mails"))?)
    }

    async fn prune_mails(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let filter = doc! {
            "created_at": { "$lt": date(before) },
            "$or": [{ "state": { "$ne": "owed" } }, { "expires_at": { "$lt": date(before) } }],
        };
        Ok(self.remove_in_steps(MAILS, &filter, &doc! { "created_at": 1 }).await?)
    }
}

impl MongoStore {
    /// Whether the filter matched.
    async fn update_mail(&self, what: &str, filter: Document, update: Document) -> Result<bool> {
        let statements = [raw(self, &doc! { "q": filter, "u": update })?].iter().collect();
        Ok(self.write(what, Write::Update, MAILS, &statements).await?.touched > 0)
    }
}

fn document(mail: &OwedMail) -> Document {
    let content = &mail.content;
    let images: Vec<Bson> = content.images.iter().map(image_document).collect();
    let unsubscribe = content.unsubscribe.as_ref().map(url::Url::as_str);
    let mut document = doc! {
        "_id": mail.id.as_str(),
        "recipient": mail.recipient.as_str(),
        "recipient_key": mail.recipient.key(),
        "subject": &content.subject,
        "text": &content.text,
        "html": &content.html,
        "images": images,
        "unsubscribe": unsubscribe,
        "created_at": date(mail.created_at),
        "expires_at": date(mail.expires_at),
        "is_recorded": mail.is_recorded,
    };
    document.extend(state_fields(&MailState::new(mail.created_at)));
    document.extend(doc! { "owner": FREE, "leased_until": Bson::Null });
    document
}

fn image_document(image: &InlineImage) -> Bson {
    let png = Binary { subtype: BinarySubtype::Generic, bytes: image.png.to_vec() };
    doc! { "cid": &image.cid, "png": png }.into()
}

fn state_fields(state: &MailState) -> Document {
    let StateColumns { state, attempts, next_try_at, finished_at, reason } = StateColumns::of(state);
    doc! {
        "state": state,
        "attempts": i64::from(attempts),
        "next_try_at": next_try_at.map(date),
        "finished_at": finished_at.map(date),
        "reason": reason,
    }
}

fn id(document: &RawDocument) -> Result<MailId, RowError> {
    text(document, "_id", |text| MailId::parse(text))
}

fn decode(document: &RawDocument) -> Result<StoredMail, RowError> {
    let owned = |name| text(document, name, |text| Ok::<_, RowError>(text.to_owned()));
    let is_recorded = match field(document, "is_recorded")? {
        RawBsonRef::Boolean(is_recorded) => is_recorded,
        other => return Err(unexpected("is_recorded", "true or false", other)),
    };
    let columns = MailColumns {
        id: fields::id(document)?,
        recipient: owned("recipient")?,
        subject: owned("subject")?,
        text: owned("text")?,
        html: owned("html")?,
        unsubscribe: optional_text(document, "unsubscribe")?,
        created_at: time(document, "created_at")?.ok_or("created_at is missing")?,
        expires_at: time(document, "expires_at")?.ok_or("expires_at is missing")?,
        is_recorded,
        state: StateColumns {
            state: owned("state")?,
            attempts: u32::try_from(unsigned(document, "attempts")?).unwrap_or(u32::MAX),
            next_try_at: time(document, "next_try_at")?,
            finished_at: time(document, "finished_at")?,
            reason: optional_text(document, "reason")?,
        },
    };
    columns.into_mail(images(document)?)
}

/// None where the query left them out.
fn images(document: &RawDocument) -> Result<Vec<InlineImage>, RowError> {
    let list = match document.get("images")? {
        None => return Ok(Vec::new()),
        Some(RawBsonRef::Array(list)) => list,
        Some(other) => return Err(unexpected("images", "a list", other)),
    };
    let image = |image: RawBsonRef<'_>| {
        let RawBsonRef::Document(image) = image else { return Err(unexpected("images", "documents", image)) };
        let RawBsonRef::Binary(png) = field(image, "png")? else {
            return Err(unexpected("png", "binary", field(image, "png")?));
        };
        let cid = text(image, "cid", |cid| Ok::<_, RowError>(cid.to_owned()))?;
        Ok(InlineImage { cid, png: png.bytes.into() })
    };
    list.into_iter().map(|found| image(found?)).collect()
}

/// Milliseconds, which is fine enough for mails.
fn date(time: DateTime<Utc>) -> BsonDate {
    BsonDate::from_millis(time.timestamp_millis())
}

/// `None` where the field is null or missing.
fn time(document: &RawDocument, name: &str) -> Result<Option<DateTime<Utc>>, RowError> {
    match document.get(name)? {
        None | Some(RawBsonRef::Null) => Ok(None),
        Some(RawBsonRef::DateTime(found)) => {
            let time = DateTime::from_timestamp_millis(found.timestamp_millis());
            time.map(Some).ok_or_else(|| format!("{name} is no time of the calendar").into())
        }
        Some(other) => Err(unexpected(name, "a date", other)),
    }
}

#[cfg(test)]
fn sample() -> Document {
    let time = "2026-01-13T15:30:00Z".parse().expect("a time");
    document(&OwedMail {
        id: MailId::parse("digest:1:2026-01-13").expect("an id"),
        recipient: EmailAddress::parse("me@example.com").expect("an address"),
        content: owed_mails::MailContent {
            subject: "Subject".to_owned(),
            text: "Text".to_owned(),
            html: "<p>Text</p>".to_owned(),
            images: vec![InlineImage { cid: "day".to_owned(), png: [1, 2, 3].into() }],
            unsubscribe: None,
        },
        created_at: time,
        expires_at: time,
        is_recorded: false,
    })
}
