//! Circuits in the table `feed_circuits`.

use async_trait::async_trait;
use sqlx::{Row, error::BoxDynError, sqlite::SqliteRow};

use super::{FeedCircuit, FeedCircuitStore, MAX_CIRCUITS};
use crate::{
    Result,
    news::whole_millis,
    sqlite::{
        SqliteStore,
        columns::{self, read_time},
    },
};

const TABLE: &str = "feed_circuits";

#[async_trait]
impl FeedCircuitStore for SqliteStore {
    async fn save_circuit(&self, circuit: &FeedCircuit) -> Result<()> {
        let time = |time| {
            columns::time(whole_millis(time)).map_err(|error| {
                self.refused(format!("cannot save the circuit of {}: {error}", circuit.feed))
            })
        };
        let sql = "INSERT OR REPLACE INTO feed_circuits (feed, failures, open_until, reason, changed_at) \
             VALUES (?, ?, ?, ?, ?)";
        let save = sqlx::query(sql)
            .bind(&circuit.feed)
            .bind(circuit.failures)
            .bind(time(circuit.open_until)?)
            .bind(&circuit.reason)
            .bind(time(circuit.changed_at)?);
        self.write_rows(save).await.map(drop)
    }

    async fn close_circuit(&self, feed: &str) -> Result<()> {
        self.write_rows(sqlx::query("DELETE FROM feed_circuits WHERE feed = ?").bind(feed)).await.map(drop)
    }

    async fn circuits(&self) -> Result<Vec<FeedCircuit>> {
        let sql =
            "SELECT feed, failures, open_until, reason, changed_at FROM feed_circuits ORDER BY feed LIMIT ?";
        self.read(sqlx::query(sql).bind(MAX_CIRCUITS as i64), TABLE, decode).await
    }
}

fn decode(row: &SqliteRow) -> Result<FeedCircuit, BoxDynError> {
    Ok(FeedCircuit {
        feed: row.try_get(0)?,
        failures: row.try_get(1)?,
        open_until: read_time(row, "open_until", 2)?,
        reason: row.try_get(3)?,
        changed_at: read_time(row, "changed_at", 4)?,
    })
}
