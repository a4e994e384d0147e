//! Users in the table `users`.

use std::sync::Arc;

use accounts::{
    Digest, DigestHour, PasswordHash, Secret, Threshold, User, UserId, parse_time_zone, parse_watch_list,
};
use async_trait::async_trait;
use market::Symbol;
use owed_mails::EmailAddress;
use sqlx::{AssertSqlSafe, Row, error::BoxDynError, sqlite::SqliteRow};

use super::{MAX_PAGE_USERS, UserStore};
use crate::{
    Result,
    sqlite::{SqliteStore, columns},
};

const TABLE: &str = "users";

/// In the order in which they are read and bound.
const COLUMNS: &str = "id, email, password_hash, confirmed_at, time_zone, watch_list, threshold_percent, mails_alerts, digest, \
     digest_hour, unsubscribe_key, created_at, revision, email_key";

const CHANGE: &str = "UPDATE users SET password_hash = ?3, confirmed_at = ?4, time_zone = ?5, watch_list = ?6, \
     threshold_percent = ?7, mails_alerts = ?8, digest = ?9, digest_hour = ?10, unsubscribe_key = ?11, created_at = ?12, \
     revision = revision + 1 \
     WHERE id = ?1 AND revision = ?2";

#[async_trait]
impl UserStore for SqliteStore {
    async fn add_user(&self, user: &User) -> Result<bool> {
        let sql = format!(
            "INSERT INTO users ({COLUMNS}) VALUES {} ON CONFLICT DO NOTHING",
            columns::placeholders(1, 14)
        );
        let row = Bound::new(user).map_err(|error| self.refused(format!("cannot store a user: {error}")))?;
        let insert = sqlx::query(AssertSqlSafe(sql))
            .bind(user.id.to_string())
            .bind(user.email.as_str())
            .bind(user.password.as_str())
            .bind(row.confirmed_at)
            .bind(user.time_zone.name())
            .bind(row.watch_list)
            .bind(user.threshold.map(Threshold::percent))
            .bind(user.mails_alerts)
            .bind(user.digest.is_on)
            .bind(user.digest.hour.get())
            .bind(user.unsubscribe_key.expose())
            .bind(row.created_at)
            .bind(row.revision)
            .bind(user.email.key());
        Ok(self.write_rows(insert).await? > 0)
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        let sql = format!("SELECT {COLUMNS} FROM users WHERE id = ?");
        let found = self.read(sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()), TABLE, decode).await?;
        Ok(found.into_iter().next())
    }

    async fn user_of(&self, email: &EmailAddress) -> Result<Option<User>> {
        let sql = format!("SELECT {COLUMNS} FROM users WHERE email_key = ?");
        let found = self.read(sqlx::query(AssertSqlSafe(sql)).bind(email.key()), TABLE, decode).await?;
        Ok(found.into_iter().next())
    }

    async fn change_user(&self, user: &User) -> Result<bool> {
        let row = Bound::new(user).map_err(|error| self.refused(format!("cannot store a user: {error}")))?;
        let update = sqlx::query(CHANGE)
            .bind(user.id.to_string())
            .bind(row.revision)
            .bind(user.password.as_str())
            .bind(row.confirmed_at)
            .bind(user.time_zone.name())
            .bind(row.watch_list)
            .bind(user.threshold.map(Threshold::percent))
            .bind(user.mails_alerts)
            .bind(user.digest.is_on)
            .bind(user.digest.hour.get())
            .bind(user.unsubscribe_key.expose())
            .bind(row.created_at);
        Ok(self.write_rows(update).await? > 0)
    }

    async fn users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>> {
        // Every identity is behind the empty text.
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let sql = format!("SELECT {COLUMNS} FROM users WHERE id > ? ORDER BY id LIMIT ?");
        let select = sqlx::query(AssertSqlSafe(sql)).bind(after).bind(limit.min(MAX_PAGE_USERS));
        self.read(select, TABLE, decode).await
    }

    async fn remove_user(&self, id: UserId, revision: Option<u64>) -> Result<bool> {
        let delete = sqlx::query("DELETE FROM users WHERE id = ?1 AND (?2 IS NULL OR revision = ?2)")
            .bind(id.to_string())
            .bind(revision.map(u64::cast_signed));
        Ok(self.write_rows(delete).await? > 0)
    }
}

/// Values that are bound in another form.
struct Bound {
    created_at: Arc<str>,
    confirmed_at: Option<Arc<str>>,
    watch_list: String,
    revision: i64,
}

impl Bound {
    fn new(user: &User) -> Result<Self, BoxDynError> {
        let symbols: Vec<&str> = user.watch_list.iter().map(Symbol::as_str).collect();
        Ok(Self {
            created_at: columns::time(user.created_at)?,
            confirmed_at: user.confirmed_at.map(columns::time).transpose()?,
            watch_list: symbols.join(","),
            revision: i64::try_from(user.revision)?,
        })
    }
}

fn decode(row: &SqliteRow) -> Result<User, BoxDynError> {
    let hour = row.try_get::<i64, _>(9)?.to_string();
    Ok(User {
        id: columns::text(row, "id", 0, str::parse::<UserId>)?,
        email: columns::text(row, "email", 1, EmailAddress::parse)?,
        password: columns::text(row, "password_hash", 2, PasswordHash::parse)?,
        confirmed_at: columns::optional_time(row, "confirmed_at", 3)?,
        time_zone: columns::text(row, "time_zone", 4, parse_time_zone)?,
        watch_list: columns::text(row, "watch_list", 5, parse_watch_list)?,
        threshold: row.try_get::<Option<f64>, _>(6)?.map(Threshold::new).transpose()?,
        mails_alerts: row.try_get(7)?,
        digest: Digest { is_on: row.try_get(8)?, hour: DigestHour::parse(&hour)? },
        unsubscribe_key: columns::text(row, "unsubscribe_key", 10, str::parse::<Secret>)?,
        created_at: columns::read_time(row, "created_at", 11)?,
        revision: columns::unsigned(row, 12)?,
    })
}
