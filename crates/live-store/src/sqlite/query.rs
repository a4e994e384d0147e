//! What the nouns read and remove alike.

use async_trait::async_trait;
use futures_util::TryStreamExt;
use market::Symbol;
use sqlx::{
    AssertSqlSafe, Sqlite,
    error::BoxDynError,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{SqliteStore, columns, time_text::range_end};
use crate::{PruneRange, Result, SizeStore, StoreSize};

/// Rows that are removed by one transaction: some ten milliseconds.
const PRUNE_ROWS: i64 = 2000;

/// Jumps from symbol to symbol in the index. No symbol sorts before the empty text.
pub(super) fn symbols_sql(table: &str) -> String {
    format!(
        "WITH RECURSIVE symbols (symbol) AS (SELECT '' UNION ALL \
             SELECT (SELECT min(symbol) FROM {table} WHERE symbol > symbols.symbol) FROM symbols \
             WHERE symbols.symbol IS NOT NULL) \
         SELECT symbol FROM symbols WHERE symbol > '' ORDER BY symbol"
    )
}

type Select = Query<'static, Sqlite, SqliteArguments>;

impl SqliteStore {
    /// All rows, decoded as they arrive (a raw row is ten times as large), or the first error.
    pub(crate) async fn read<T>(
        &self,
        select: Select,
        table: &str,
        decode: impl Fn(&SqliteRow) -> Result<T, BoxDynError>,
    ) -> Result<Vec<T>> {
        let mut rows = select.fetch(self.file.readers());
        let mut decoded = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(|error| self.failure(&error))? {
            let row = decode(&row)
                .map_err(|error| self.refused(format!("a row of {table} is damaged: {error}")))?;
            decoded.push(row);
        }
        Ok(decoded)
    }

    /// Runs one statement in a transaction of its own. How many rows it changed.
    pub(crate) async fn write_rows(&self, statement: Query<'_, Sqlite, SqliteArguments>) -> Result<u64> {
        let mut writing = self.begin().await?;
        let done = statement.execute(writing.connection()).await.map_err(|error| self.failure(&error))?;
        writing.commit().await?;
        Ok(done.rows_affected())
    }

    /// Runs a statement that changes at most one row. Whether it did.
    pub(crate) async fn update(&self, statement: Query<'_, Sqlite, SqliteArguments>) -> Result<bool> {
        Ok(self.write_rows(statement).await? > 0)
    }

    /// Every symbol of a table, in order.
    pub(crate) async fn symbols_of(&self, table: &str) -> Result<Vec<Symbol>> {
        self.read(sqlx::query(AssertSqlSafe(symbols_sql(table))), table, columns::symbol).await
    }

    /// Runs a `DELETE` for one symbol (`?1`), of rows that happened from a time (`?2`) to a time (`?3`) and were stored before a time
    /// (`?4`), at most so many rows at once (`?5`), so that other writers get their turn in between. Returns the number of rows.
    pub(crate) async fn remove(&self, delete: &'static str, range: &PruneRange) -> Result<u64> {
        let times = [range.from, range.to, range.stored_before].map(range_end);
        let mut removed = 0;
        loop {
            let mut writing = self.begin().await?;
            let mut statement = sqlx::query(delete).bind(range.symbol.as_str());
            for time in &times {
                statement = statement.bind(time);
            }
            let done = statement
                .bind(PRUNE_ROWS)
                .execute(writing.connection())
                .await
                .map_err(|error| self.failure(&error))?;
            writing.commit().await?;
            removed += done.rows_affected();
            if done.rows_affected() < PRUNE_ROWS as u64 {
                return Ok(removed);
            }
        }
    }
}

#[async_trait]
impl SizeStore for SqliteStore {
    async fn size(&self) -> Result<StoreSize> {
        let sql = "SELECT (page_count - freelist_count) * page_size \
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
        let found = self.read(sqlx::query(sql), "the pages", |row| columns::unsigned(row, 0)).await?;
        let bytes = found.into_iter().sum();
        Ok(StoreSize { bytes, row_bytes: bytes, is_estimate: false })
    }
}

#[cfg(test)]
mod tests {
    use sqlite_file::FileUrl;
    use sqlx::Row;

    use super::*;
    use crate::{candles, news, ticks};

    /// With millions of ticks a scan takes seconds.
    #[tokio::test]
    async fn no_query_scans_a_large_table() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) =
            SqliteStore::open(&FileUrl { path: folder.path().join("plan.db"), max_bytes: None }, false)
                .await
                .expect("opens");
        let symbols = ["realtime_prices", "candles"].map(symbols_sql);
        let [page, next_page, latest] = ticks::sqlite::queries();
        let [range, stored_later, oldest_minute] = candles::sqlite::queries();
        // Symbols and their latest ticks are sorted: as many as there are symbols.
        let sorted: Vec<String> = symbols.into_iter().chain([latest]).collect();
        let unsorted: Vec<String> = [page, next_page, range, stored_later, oldest_minute]
            .into_iter()
            .chain(news::sqlite::queries())
            .collect();
        for (sql, may_sort) in
            unsorted.iter().map(|sql| (sql, false)).chain(sorted.iter().map(|sql| (sql, true)))
        {
            let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(store.file.readers())
                .await
                .expect("a plan");
            for step in plan {
                let step: String = step.get("detail");
                assert!(may_sort || !step.contains("TEMP B-TREE"), "{sql}\nsorts: {step}");
                // `min(symbol)` of a whole index is written SEARCH, too, and reads one row.
                let steps_made_here = ["SCAN symbols", "SCAN CONSTANT ROW"];
                assert!(
                    !step.starts_with("SCAN") || steps_made_here.contains(&step.as_str()),
                    "{sql}\nscans: {step}"
                );
            }
        }
    }
}
