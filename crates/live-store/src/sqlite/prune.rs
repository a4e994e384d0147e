//! Removing what is old, a little at a time, so that writers get their turn in between. Old is what both happened and
//! was stored before: a recording of years ago that was played today stays its time.

use chrono::{DateTime, Utc};

use super::{SqliteStore, time_text::range_end};
use crate::{Pruned, Result};

/// Rows per transaction: some ten milliseconds.
const STEP_ROWS: i64 = 2000;

const NEXT_SYMBOL_OF_TICKS: &str = "SELECT min(symbol) FROM realtime_prices WHERE symbol > ?";
const NEXT_SYMBOL_OF_CANDLES: &str = "SELECT min(symbol) FROM candles WHERE symbol > ?";

/// By symbol, because the index in order of time is by symbol.
const REMOVE_TICKS: &str = "DELETE FROM realtime_prices WHERE (source, symbol, seq) IN ( \
     SELECT source, symbol, seq FROM realtime_prices WHERE symbol = ?1 AND timestamp < ?2 AND processed_at < ?2 \
     ORDER BY timestamp LIMIT ?3)";
const REMOVE_CANDLES: &str = "DELETE FROM candles WHERE (symbol, interval, time, source) IN ( \
     SELECT symbol, interval, time, source FROM candles \
     WHERE symbol = ?1 AND interval = '1m' AND time < ?2 AND stored_at < ?2 LIMIT ?3)";

impl SqliteStore {
    pub(crate) async fn remove_older(&self, before: DateTime<Utc>) -> Result<Pruned> {
        let before = range_end(before);
        Ok(Pruned {
            ticks: self.remove_by_symbol(NEXT_SYMBOL_OF_TICKS, REMOVE_TICKS, &before).await?,
            candles: self.remove_by_symbol(NEXT_SYMBOL_OF_CANDLES, REMOVE_CANDLES, &before).await?,
        })
    }

    async fn remove_by_symbol(&self, next: &'static str, remove: &'static str, before: &str) -> Result<u64> {
        let mut removed = 0;
        let mut symbol = String::new();
        while let Some(next) = self.next_symbol(next, &symbol).await? {
            symbol = next;
            loop {
                let step = self.remove_step(remove, &symbol, before).await?;
                removed += step;
                if step < STEP_ROWS as u64 {
                    break;
                }
            }
        }
        Ok(removed)
    }

    async fn next_symbol(&self, sql: &'static str, behind: &str) -> Result<Option<String>> {
        sqlx::query_scalar::<_, Option<String>>(sql)
            .bind(behind)
            .fetch_one(&self.readers)
            .await
            .map_err(|error| self.failure(&error))
    }

    async fn remove_step(&self, sql: &'static str, symbol: &str, before: &str) -> Result<u64> {
        let mut writing = self.begin().await?;
        let done = sqlx::query(sql)
            .bind(symbol)
            .bind(before)
            .bind(STEP_ROWS)
            .execute(writing.connection())
            .await
            .map_err(|error| self.failure(&error))?;
        writing.commit().await?;
        Ok(done.rows_affected())
    }
}
