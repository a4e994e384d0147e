//! Tokens in the table `tokens`.

use accounts::{OneTimeToken, SecretHash, TokenPurpose, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{error::BoxDynError, sqlite::SqliteRow};

use super::TokenStore;
use crate::{
    Result,
    sqlite::{SqliteStore, columns, time_text::range_end},
};

const ADD: &str = "INSERT INTO tokens (hash, purpose, user_id, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT DO NOTHING";

const SELECT: &str = "SELECT hash, purpose, user_id, created_at, expires_at FROM tokens WHERE hash = ?";

#[async_trait]
impl TokenStore for SqliteStore {
    async fn add_token(&self, token: &OneTimeToken) -> Result<()> {
        let time = |time| {
            columns::time(time).map_err(|error| self.refused(format!("cannot store a token: {error}")))
        };
        let add = sqlx::query(ADD)
            .bind(token.hash.to_string())
            .bind(token.purpose.as_str())
            .bind(token.user.to_string())
            .bind(time(token.created_at)?)
            .bind(time(token.expires_at)?);
        self.write_rows(add).await.map(drop)
    }

    async fn token(&self, hash: SecretHash) -> Result<Option<OneTimeToken>> {
        let select = sqlx::query(SELECT).bind(hash.to_string());
        Ok(self.read(select, "tokens", decode).await?.into_iter().next())
    }

    async fn remove_token(&self, hash: SecretHash) -> Result<bool> {
        let delete = sqlx::query("DELETE FROM tokens WHERE hash = ?").bind(hash.to_string());
        Ok(self.write_rows(delete).await? > 0)
    }

    async fn remove_tokens_of(&self, user: UserId) -> Result<u64> {
        self.write_rows(sqlx::query("DELETE FROM tokens WHERE user_id = ?").bind(user.to_string())).await
    }

    async fn prune_tokens(&self, before: DateTime<Utc>) -> Result<u64> {
        self.write_rows(sqlx::query("DELETE FROM tokens WHERE expires_at < ?").bind(range_end(before))).await
    }
}

fn decode(row: &SqliteRow) -> Result<OneTimeToken, BoxDynError> {
    Ok(OneTimeToken {
        hash: columns::text(row, "hash", 0, str::parse::<SecretHash>)?,
        purpose: columns::text(row, "purpose", 1, str::parse::<TokenPurpose>)?,
        user: columns::text(row, "user_id", 2, str::parse::<UserId>)?,
        created_at: columns::read_time(row, "created_at", 3)?,
        expires_at: columns::read_time(row, "expires_at", 4)?,
    })
}
