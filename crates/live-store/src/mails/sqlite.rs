//! Mails in the tables `mails` and `mail_images`.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use owed_mails::{
    EmailAddress, InlineImage, MAX_MAILS_TO, MailId, MailState, MailStore, OwedMail, StoreError, StoredMail,
};
use sqlx::{AssertSqlSafe, Row, error::BoxDynError, sqlite::SqliteRow};

use super::{ColumnError, FREE, LEASE_TRIES, MAILS, MailColumns, QUERY_IDS, StateColumns, in_order};
use crate::{
    Result,
    sqlite::{
        SqliteStore, columns,
        columns::{optional_time, placeholders, read_time},
        time_text::range_end,
    },
};

const INSERT: &str = "INSERT INTO mails (id, recipient, recipient_key, subject, text, html, unsubscribe, created_at, \
     expires_at, is_recorded, state, attempts, next_try_at, owner, leased_until) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'owed', 0, ?8, ?11, '') ON CONFLICT (id) DO NOTHING";

const INSERT_IMAGE: &str = "INSERT INTO mail_images (mail, position, cid, png) VALUES (?, ?, ?, ?)";

/// The columns, in the order in which mails are read.
const COLUMNS: &str = "id, recipient, subject, text, html, unsubscribe, created_at, expires_at, is_recorded, state, \
     attempts, next_try_at, finished_at, reason";

const DUE: &str = "SELECT id FROM mails WHERE state = 'owed' AND next_try_at <= ?1 AND leased_until <= ?1 \
     ORDER BY next_try_at LIMIT 1";

const LEASE: &str = "UPDATE mails SET owner = ?2, leased_until = ?3 \
     WHERE id = ?1 AND state = 'owed' AND next_try_at <= ?4 AND leased_until <= ?4";

const RENEW: &str = "UPDATE mails SET leased_until = ?3 WHERE id = ?1 AND owner = ?2";

const FINISH: &str = "UPDATE mails SET state = ?3, attempts = ?4, next_try_at = ?5, finished_at = ?6, reason = ?7, \
     owner = ?8, leased_until = '' WHERE id = ?1 AND owner = ?2 AND state = 'owed'";

/// Mails that are removed by one transaction: their contents take some 50 kB each.
const PRUNE_MAILS: u32 = 200;

#[async_trait]
impl MailStore for SqliteStore {
    async fn add_mail(&self, mail: &OwedMail) -> Result<bool, StoreError> {
        let content = &mail.content;
        let insert = sqlx::query(INSERT)
            .bind(mail.id.as_str())
            .bind(mail.recipient.as_str())
            .bind(mail.recipient.key())
            .bind(&*content.subject)
            .bind(&*content.text)
            .bind(&*content.html)
            .bind(content.unsubscribe.as_ref().map(url::Url::as_str))
            .bind(columns::time(mail.created_at)?)
            .bind(columns::time(mail.expires_at)?)
            .bind(mail.is_recorded)
            .bind(FREE);
        let mut writing = self.begin().await?;
        let done = insert.execute(writing.connection()).await.map_err(|error| self.failure(&error))?;
        let is_new = done.rows_affected() > 0;
        if is_new {
            for (position, image) in content.images.iter().enumerate() {
                sqlx::query(INSERT_IMAGE)
                    .bind(mail.id.as_str())
                    .bind(position as i64)
                    .bind(&*image.cid)
                    .bind(&*image.png)
                    .execute(writing.connection())
                    .await
                    .map_err(|error| self.failure(&error))?;
            }
        }
        writing.commit().await?;
        Ok(is_new)
    }

    async fn lease_mail(
        &self,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<StoredMail>, StoreError> {
        let (now, until) = (columns::time(now)?, columns::time(until)?);
        for _ in 0..LEASE_TRIES {
            // Reading first: a store without due mails is not written to.
            let due = self.read(sqlx::query(DUE).bind(now.clone()), MAILS, id).await?;
            let Some(id) = due.into_iter().next() else { return Ok(None) };
            let lease =
                sqlx::query(LEASE).bind(id.as_str()).bind(owner).bind(until.clone()).bind(now.clone());
            if self.update(lease).await? {
                return Ok(self.mails(&[id]).await?.into_iter().next());
            }
        }
        Ok(None)
    }

    async fn renew_mail(&self, id: &MailId, owner: &str, until: DateTime<Utc>) -> Result<bool, StoreError> {
        let renew = sqlx::query(RENEW).bind(id.as_str()).bind(owner).bind(columns::time(until)?);
        Ok(self.update(renew).await?)
    }

    async fn finish_try(&self, id: &MailId, owner: &str, state: &MailState) -> Result<bool, StoreError> {
        let StateColumns { state, attempts, next_try_at, finished_at, reason } = StateColumns::of(state);
        let finish = sqlx::query(FINISH)
            .bind(id.as_str())
            .bind(owner)
            .bind(state)
            .bind(attempts)
            .bind(next_try_at.map(columns::time).transpose()?)
            .bind(finished_at.map(columns::time).transpose()?)
            .bind(reason)
            .bind(FREE);
        Ok(self.update(finish).await?)
    }

    async fn mails(&self, ids: &[MailId]) -> Result<Vec<StoredMail>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(QUERY_IDS) {
            let places = placeholders(1, chunk.len());
            let mut of_mails =
                sqlx::query(AssertSqlSafe(format!("SELECT {COLUMNS} FROM mails WHERE id IN {places}")));
            let mut of_images = sqlx::query(AssertSqlSafe(format!(
                "SELECT mail, cid, png FROM mail_images WHERE mail IN {places} ORDER BY mail, position"
            )));
            for id in chunk {
                of_mails = of_mails.bind(id.as_str().to_owned());
                of_images = of_images.bind(id.as_str().to_owned());
            }
            // A mail whose images are missing was removed in between.
            let mails = self.read(of_mails, MAILS, mail_columns).await?;
            let mut images: HashMap<String, Vec<InlineImage>> = HashMap::new();
            for (mail, image) in self.read(of_images, "mail_images", image).await? {
                images.entry(mail).or_default().push(image);
            }
            for mail in mails {
                let images = images.remove(&mail.id).unwrap_or_default();
                found.push(self.mail(mail, images)?);
            }
        }
        Ok(in_order(found, ids))
    }

    async fn mails_to(
        &self,
        recipient: &EmailAddress,
        since: DateTime<Utc>,
    ) -> Result<Vec<StoredMail>, StoreError> {
        let select = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM mails WHERE recipient_key = ? AND created_at >= ? \
             ORDER BY created_at DESC, id DESC LIMIT ?"
        )));
        let select = select.bind(recipient.key()).bind(range_end(since)).bind(MAX_MAILS_TO);
        let found = self.read(select, MAILS, mail_columns).await?;
        Ok(found.into_iter().rev().map(|mail| self.mail(mail, Vec::new())).collect::<Result<_>>()?)
    }

    async fn declined(&self, mail: &OwedMail) -> Result<Option<&'static str>, StoreError> {
        Ok(super::declined(self, mail).await?)
    }

    async fn owed_mails(&self) -> Result<u64, StoreError> {
        let select = sqlx::query("SELECT count(*) FROM mails WHERE state = 'owed'");
        let found = self.read(select, MAILS, |row| columns::unsigned(row, 0)).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    async fn prune_mails(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let before = range_end(before);
        let mut removed = 0;
        loop {
            let select = sqlx::query(
                "SELECT id FROM mails WHERE created_at < ?1 AND (state <> 'owed' OR expires_at < ?1) \
                 ORDER BY created_at LIMIT ?2",
            );
            let old = self.read(select.bind(before.clone()).bind(PRUNE_MAILS), MAILS, id).await?;
            if old.is_empty() {
                return Ok(removed);
            }
            removed += self.remove_mails(&old).await?;
        }
    }
}

impl SqliteStore {
    async fn remove_mails(&self, ids: &[MailId]) -> Result<u64> {
        let places = placeholders(1, ids.len());
        let mut removed = 0;
        let mut writing = self.begin().await?;
        for table in ["mail_images WHERE mail", "mails WHERE id"] {
            let mut delete = sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} IN {places}")));
            for id in ids {
                delete = delete.bind(id.as_str());
            }
            let done = delete.execute(writing.connection()).await.map_err(|error| self.failure(&error))?;
            removed = done.rows_affected();
        }
        writing.commit().await?;
        Ok(removed)
    }

    fn mail(&self, columns: MailColumns, images: Vec<InlineImage>) -> Result<StoredMail> {
        columns
            .into_mail(images)
            .map_err(|error| self.refused(format!("a row of {MAILS} is damaged: {error}")))
    }
}

fn id(row: &SqliteRow) -> Result<MailId, BoxDynError> {
    columns::text(row, "id", 0, |text| MailId::parse(text))
}

fn mail_columns(row: &SqliteRow) -> Result<MailColumns, ColumnError> {
    Ok(MailColumns {
        id: row.try_get(0)?,
        recipient: row.try_get(1)?,
        subject: row.try_get(2)?,
        text: row.try_get(3)?,
        html: row.try_get(4)?,
        unsubscribe: row.try_get(5)?,
        created_at: read_time(row, "created_at", 6)?,
        expires_at: read_time(row, "expires_at", 7)?,
        is_recorded: row.try_get(8)?,
        state: StateColumns {
            state: row.try_get(9)?,
            attempts: row.try_get(10)?,
            next_try_at: optional_time(row, "next_try_at", 11)?,
            finished_at: optional_time(row, "finished_at", 12)?,
            reason: row.try_get(13)?,
        },
    })
}

fn image(row: &SqliteRow) -> Result<(String, InlineImage), BoxDynError> {
    let png: Vec<u8> = row.try_get(2)?;
    Ok((row.try_get(0)?, InlineImage { cid: row.try_get(1)?, png: png.into() }))
}
