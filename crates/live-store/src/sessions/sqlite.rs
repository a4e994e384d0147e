//! Sessions in the table `sessions`.

use accounts::{SecretHash, Session, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{error::BoxDynError, sqlite::SqliteRow};

use super::SessionStore;
use crate::{
    Result,
    sqlite::{SqliteStore, columns, time_text::range_end},
};

const TABLE: &str = "sessions";

const SAVE: &str = "INSERT INTO sessions (hash, user_id, created_at, seen_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT (hash) DO UPDATE SET seen_at = excluded.seen_at, expires_at = excluded.expires_at";

const RENEW: &str = "UPDATE sessions SET seen_at = ?2, expires_at = ?3 WHERE hash = ?1";

#[async_trait]
impl SessionStore for SqliteStore {
    async fn save_session(&self, session: &Session) -> Result<()> {
        let [created_at, seen_at, expires_at] = self.session_times(session)?;
        let save = sqlx::query(SAVE)
            .bind(session.hash.to_string())
            .bind(session.user.to_string())
            .bind(created_at)
            .bind(seen_at)
            .bind(expires_at);
        self.write_rows(save).await.map(drop)
    }

    async fn renew_session(&self, session: &Session) -> Result<bool> {
        let [_, seen_at, expires_at] = self.session_times(session)?;
        let renew = sqlx::query(RENEW).bind(session.hash.to_string()).bind(seen_at).bind(expires_at);
        Ok(self.write_rows(renew).await? > 0)
    }

    async fn session(&self, hash: SecretHash) -> Result<Option<Session>> {
        let select =
            sqlx::query("SELECT hash, user_id, created_at, seen_at, expires_at FROM sessions WHERE hash = ?")
                .bind(hash.to_string());
        Ok(self.read(select, TABLE, decode).await?.into_iter().next())
    }

    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>> {
        let select = sqlx::query(
            "SELECT hash, user_id, created_at, seen_at, expires_at FROM sessions WHERE user_id = ? ORDER BY created_at, hash",
        )
        .bind(user.to_string());
        self.read(select, TABLE, decode).await
    }

    async fn remove_session(&self, hash: SecretHash) -> Result<bool> {
        let delete = sqlx::query("DELETE FROM sessions WHERE hash = ?").bind(hash.to_string());
        Ok(self.write_rows(delete).await? > 0)
    }

    async fn remove_sessions_of(&self, user: UserId) -> Result<u64> {
        self.write_rows(sqlx::query("DELETE FROM sessions WHERE user_id = ?").bind(user.to_string())).await
    }

    async fn prune_sessions(&self, before: DateTime<Utc>) -> Result<u64> {
        self.write_rows(sqlx::query("DELETE FROM sessions WHERE expires_at < ?").bind(range_end(before)))
            .await
    }
}

impl SqliteStore {
    fn session_times(&self, session: &Session) -> Result<[std::sync::Arc<str>; 3]> {
        let time = |time| {
            columns::time(time).map_err(|error| self.refused(format!("cannot store a session: {error}")))
        };
        Ok([time(session.created_at)?, time(session.seen_at)?, time(session.expires_at)?])
    }
}

fn decode(row: &SqliteRow) -> Result<Session, BoxDynError> {
    Ok(Session {
        hash: columns::text(row, "hash", 0, str::parse::<SecretHash>)?,
        user: columns::text(row, "user_id", 1, str::parse::<UserId>)?,
        created_at: columns::read_time(row, "created_at", 2)?,
        seen_at: columns::read_time(row, "seen_at", 3)?,
        expires_at: columns::read_time(row, "expires_at", 4)?,
    })
}
