//! Marked days in the table `stale_days`.

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use market::Symbol;
use sqlx::SqliteConnection;

use super::{MAX_DAYS, StaleDay, StaleDayStore};
use crate::{
    Result,
    sqlite::{SqliteStore, columns},
};

const TABLE: &str = "stale_days";

const MARK: &str = "INSERT INTO stale_days (symbol, date, marked_at, marks) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (symbol, date) DO UPDATE SET marked_at = excluded.marked_at, marks = marks + excluded.marks";

const UNMARK: &str =
    "DELETE FROM stale_days WHERE symbol = ?1 AND date = ?2 AND marked_at = ?3 AND marks = ?4";

#[async_trait]
impl StaleDayStore for SqliteStore {
    async fn mark_stale(&self, days: &BTreeSet<(Symbol, NaiveDate)>, now: DateTime<Utc>) -> Result<()> {
        let marked = |(symbol, date): &(Symbol, NaiveDate)| StaleDay {
            symbol: *symbol,
            date: *date,
            marked_at: now,
            marks: 1,
        };
        let days = days.iter().map(marked);
        if let Some(buffer) = &self.buffer {
            return self.accept_marks(buffer, days).await;
        }
        let mut writing = self.begin().await?;
        for day in days {
            self.mark_on(writing.connection(), &day).await?;
        }
        Ok(writing.commit().await?)
    }

    async fn stale_days(&self, symbol: Symbol) -> Result<Vec<StaleDay>> {
        self.flush().await?;
        let sql = "SELECT date, marked_at, marks FROM stale_days WHERE symbol = ? ORDER BY date LIMIT ?";
        let select = sqlx::query(sql).bind(symbol.as_str().to_owned()).bind(MAX_DAYS);
        self.read(select, TABLE, |row| {
            Ok(StaleDay {
                symbol,
                date: columns::text(row, "date", 0, str::parse)?,
                marked_at: columns::read_time(row, "marked_at", 1)?,
                marks: columns::unsigned(row, 2)?,
            })
        })
        .await
    }

    async fn unmark_stale(&self, days: &[StaleDay]) -> Result<u64> {
        self.flush().await?;
        let mut writing = self.begin().await?;
        let mut removed = 0;
        for day in days {
            let marked_at = columns::time(day.marked_at).map_err(|error| self.refused(error.to_string()))?;
            let unmark = sqlx::query(UNMARK)
                .bind(day.symbol.as_str())
                .bind(day.date.to_string())
                .bind(marked_at)
                .bind(day.marks.cast_signed());
            let done = unmark.execute(writing.connection()).await.map_err(|error| self.failure(&error))?;
            removed += done.rows_affected();
        }
        writing.commit().await?;
        Ok(removed)
    }
}

impl SqliteStore {
    /// Adds the marks of a day to those in the file.
    pub(crate) async fn mark_on(&self, connection: &mut SqliteConnection, day: &StaleDay) -> Result<()> {
        let marked_at = columns::time(day.marked_at).map_err(|error| self.refused(error.to_string()))?;
        sqlx::query(MARK)
            .bind(day.symbol.as_str())
            .bind(day.date.to_string())
            .bind(marked_at)
            .bind(day.marks.cast_signed())
            .execute(connection)
            .await
            .map(drop)
            .map_err(|error| self.failure(&error))
    }
}
