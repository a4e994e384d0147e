//! Facts in the table `alert_facts`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row;

use super::{AlertFactStore, behind};
use crate::{
    LiveStoreError, Result,
    sqlite::{SqliteStore, columns, time_text::range_end},
};

const TABLE: &str = "alert_facts";

#[async_trait]
impl AlertFactStore for SqliteStore {
    async fn keep_alert_fact(&self, id: &str, body: &str, now: DateTime<Utc>) -> Result<String> {
        let created_at = columns::time(now).map_err(|error| self.refused(error.to_string()))?;
        let insert =
            "INSERT INTO alert_facts (id, body, created_at) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING";
        if self.update(sqlx::query(insert).bind(id).bind(body).bind(created_at)).await? {
            return Ok(body.to_owned());
        }
        let stored = self.alert_fact(id).await?;
        // Removed by a pruning in between: the next call stores it.
        stored.ok_or_else(|| LiveStoreError::Unavailable {
            place: self.file.path().display().to_string(),
            reason: format!("the alert fact {id} was removed meanwhile"),
        })
    }

    async fn alert_fact(&self, id: &str) -> Result<Option<String>> {
        let select = sqlx::query("SELECT body FROM alert_facts WHERE id = ?").bind(id.to_owned());
        Ok(self.read(select, TABLE, |row| Ok(row.try_get(0)?)).await?.into_iter().next())
    }

    async fn prune_alert_facts(&self, prefix: &str, before: DateTime<Utc>) -> Result<u64> {
        let mut writing = self.begin().await?;
        let done = sqlx::query("DELETE FROM alert_facts WHERE id >= ? AND id < ? AND created_at < ?")
            .bind(prefix)
            .bind(behind(prefix))
            .bind(range_end(before))
            .execute(writing.connection())
            .await
            .map_err(|error| self.failure(&error))?;
        writing.commit().await?;
        Ok(done.rows_affected())
    }
}
