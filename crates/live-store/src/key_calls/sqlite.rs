//! Calls of keys in the table `key_calls`. A transaction that reads first is a write from its beginning, so that no other process
//! writes in between.

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{Row, error::BoxDynError, sqlite::SqliteRow};

use super::{CallPurpose, KeyCall, KeyCallStore, KeyId, KeyLimits, KeyRow, KeyUsage, kept_from};
use crate::{
    Result,
    sqlite::{SqliteStore, columns},
};

const TABLE: &str = "key_calls";

const SAVE: &str = "INSERT INTO key_calls (key, day, calls, recent, revision) VALUES (?1, ?2, ?3, ?4, ?5) \
     ON CONFLICT (key) DO UPDATE SET day = excluded.day, calls = excluded.calls, recent = excluded.recent, \
     revision = excluded.revision";

#[async_trait]
impl KeyCallStore for SqliteStore {
    async fn take_call(
        &self,
        key: &KeyId,
        purpose: CallPurpose,
        limits: &KeyLimits,
        now: DateTime<Utc>,
    ) -> Result<KeyCall> {
        let damaged = |error: BoxDynError| self.refused(format!("a row of {TABLE} is damaged: {error}"));
        let mut writing = self.begin().await?;
        let found = sqlx::query("SELECT day, calls, recent, revision FROM key_calls WHERE key = ?")
            .bind(key.as_str())
            .fetch_optional(writing.connection())
            .await
            .map_err(|error| self.failure(&error))?;
        let row = match found {
            Some(row) => decode(&row, 0).map_err(damaged)?,
            None => KeyRow::new(now.date_naive()),
        };
        // A transaction that is dropped changes nothing.
        let (row, today) = match row.take(purpose, limits, now) {
            Ok(taken) => taken,
            Err(free_at) => return Ok(KeyCall::Refused { free_at }),
        };
        let [calls, recent] =
            [serde_json::to_string(&row.calls), serde_json::to_string(&row.recent)].map(|text| {
                text.map_err(|error| self.refused(format!("cannot store the calls of {key}: {error}")))
            });
        sqlx::query(SAVE)
            .bind(key.as_str())
            .bind(row.day.to_string())
            .bind(calls?)
            .bind(recent?)
            .bind(row.revision.cast_signed())
            .execute(writing.connection())
            .await
            .map_err(|error| self.failure(&error))?;
        sqlx::query("DELETE FROM key_calls WHERE day < ?")
            .bind(kept_from(now).to_string())
            .execute(writing.connection())
            .await
            .map_err(|error| self.failure(&error))?;
        writing.commit().await?;
        Ok(KeyCall::Taken { today })
    }

    async fn key_usage(&self, now: DateTime<Utc>) -> Result<Vec<KeyUsage>> {
        let select = sqlx::query("SELECT key, day, calls, recent, revision FROM key_calls ORDER BY key");
        let rows = self
            .read(select, TABLE, |row| Ok((columns::text(row, "key", 0, KeyId::stored)?, decode(row, 1)?)))
            .await?;
        Ok(rows.into_iter().flat_map(|(key, row)| row.usage(&key, now).collect::<Vec<_>>()).collect())
    }
}

/// The columns from `day` on, which is at this place.
fn decode(row: &SqliteRow, at: usize) -> Result<KeyRow, BoxDynError> {
    Ok(KeyRow {
        day: columns::text(row, "day", at, str::parse::<NaiveDate>)?,
        calls: serde_json::from_str(row.try_get(at + 1)?).map_err(|error| format!("calls: {error}"))?,
        recent: serde_json::from_str(row.try_get(at + 2)?).map_err(|error| format!("recent: {error}"))?,
        revision: columns::unsigned(row, at + 3)?,
    })
}
