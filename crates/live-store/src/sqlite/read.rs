//! Reading ticks and bars.

use futures_util::TryStreamExt;
use market::{Candle, Symbol};
use sqlx::{
    AssertSqlSafe, Sqlite,
    error::BoxDynError,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    SqliteStore,
    rows::{self, CANDLE_COLUMNS, TICK_COLUMNS},
    time_text::range_end,
};
use crate::{
    CandleQuery, MAX_CANDLES, MAX_PAGE_TICKS, Result, StoredTick, TickPage, TickQuery, cursor::Cursor,
};

/// One page; the first, or behind a cursor. The row value compares in the order of the index, and stands alone: with
/// a second lower bound beside it the engine might start at the wrong one.
fn ticks_sql(behind_cursor: bool) -> String {
    let from = if behind_cursor { "(timestamp, source, seq) > (?, ?, ?)" } else { "timestamp >= ?" };
    format!(
        "SELECT {TICK_COLUMNS} FROM realtime_prices WHERE symbol = ? AND {from} AND timestamp < ? \
         ORDER BY timestamp, source, seq LIMIT ?"
    )
}

/// Jumps from symbol to symbol in the index, and to the end of each: as many steps as there are symbols, whatever
/// the number of ticks.
const LATEST_KEYS: &str = "WITH RECURSIVE symbols (symbol) AS ( \
         SELECT min(symbol) FROM realtime_prices \
         UNION ALL \
         SELECT (SELECT min(symbol) FROM realtime_prices WHERE symbol > symbols.symbol) FROM symbols \
         WHERE symbols.symbol IS NOT NULL)";

fn latest_sql() -> String {
    format!(
        "{LATEST_KEYS} SELECT {} FROM symbols CROSS JOIN realtime_prices AS newest \
         WHERE newest.symbol = symbols.symbol AND (newest.source, newest.seq) = ( \
             SELECT source, seq FROM realtime_prices AS of_symbol WHERE of_symbol.symbol = symbols.symbol \
             ORDER BY timestamp DESC, source DESC, seq DESC LIMIT 1) \
         ORDER BY newest.symbol",
        TICK_COLUMNS.split(", ").map(|column| format!("newest.{column}")).collect::<Vec<_>>().join(", ")
    )
}

/// Jumps from symbol to symbol in both tables. No symbol sorts before the empty text.
const SYMBOLS: &str = "WITH RECURSIVE \
         of_ticks (symbol) AS (SELECT '' UNION ALL \
             SELECT (SELECT min(symbol) FROM realtime_prices WHERE symbol > of_ticks.symbol) FROM of_ticks \
             WHERE of_ticks.symbol IS NOT NULL), \
         of_bars (symbol) AS (SELECT '' UNION ALL \
             SELECT (SELECT min(symbol) FROM candles WHERE symbol > of_bars.symbol) FROM of_bars \
             WHERE of_bars.symbol IS NOT NULL) \
     SELECT symbol FROM of_ticks WHERE symbol > '' UNION SELECT symbol FROM of_bars WHERE symbol > '' ORDER BY 1";

fn candles_sql() -> String {
    format!(
        "SELECT {CANDLE_COLUMNS} FROM candles WHERE symbol = ? AND interval = ? AND time >= ? AND time < ? \
         ORDER BY time DESC, source DESC LIMIT ?"
    )
}

type Select = Query<'static, Sqlite, SqliteArguments>;

/// `LIMIT` of rows that are counted in small numbers.
fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

impl SqliteStore {
    pub(crate) async fn read_ticks(&self, query: &TickQuery) -> Result<TickPage> {
        let cursor = query.cursor.as_deref().map(Cursor::decode).transpose()?;
        // A cursor of an earlier range says nothing about this one.
        let cursor = cursor.filter(|cursor| cursor.timestamp >= query.from);
        let wanted = query.limit.clamp(1, MAX_PAGE_TICKS);
        let select =
            sqlx::query(AssertSqlSafe(ticks_sql(cursor.is_some()))).bind(query.symbol.as_str().to_owned());
        let select = match &cursor {
            Some(cursor) => select
                .bind(range_end(cursor.timestamp))
                .bind(cursor.source.as_str().to_owned())
                .bind(cursor.seq.cast_signed()),
            None => select.bind(range_end(query.from)),
        };
        // One more than wanted tells whether there is a next page.
        let select = select.bind(range_end(query.to)).bind(limit(wanted + 1));
        let mut ticks = self.read(select, "realtime_prices", rows::tick).await?;
        let more = ticks.len() > wanted;
        ticks.truncate(wanted);
        let next_cursor = ticks.last().filter(|_| more).map(|last| Cursor::of(&last.tick).encode());
        Ok(TickPage { ticks, next_cursor })
    }

    pub(crate) async fn read_latest_ticks(&self) -> Result<Vec<StoredTick>> {
        self.read(sqlx::query(AssertSqlSafe(latest_sql())), "realtime_prices", rows::tick).await
    }

    pub(crate) async fn read_symbols(&self) -> Result<Vec<Symbol>> {
        self.read(sqlx::query(SYMBOLS), "realtime_prices or candles", rows::symbol).await
    }

    pub(crate) async fn read_candles(&self, query: &CandleQuery) -> Result<Vec<Candle>> {
        let select = sqlx::query(AssertSqlSafe(candles_sql()))
            .bind(query.symbol.as_str().to_owned())
            .bind(query.interval.as_str())
            .bind(range_end(query.from))
            .bind(range_end(query.to))
            .bind(limit(query.limit.clamp(1, MAX_CANDLES)));
        let mut candles = self.read(select, "candles", rows::candle).await?;
        candles.reverse();
        Ok(candles)
    }

    /// All rows, decoded as they come (a raw row is ten times as large), or the first that is not what it should be.
    pub(crate) async fn read<T>(
        &self,
        select: Select,
        table: &str,
        decode: impl Fn(&SqliteRow) -> Result<T, BoxDynError>,
    ) -> Result<Vec<T>> {
        let mut rows = select.fetch(&self.readers);
        let mut decoded = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(|error| self.failure(&error))? {
            let row = decode(&row)
                .map_err(|error| self.refused(format!("a row of {table} is damaged: {error}")))?;
            decoded.push(row);
        }
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row;

    use super::*;

    /// With millions of ticks a scan takes seconds; which way the engine goes must not be left to chance.
    #[tokio::test]
    async fn no_query_scans_the_ticks() {
        let folder = tempfile::tempdir().expect("a folder");
        let (store, _) = SqliteStore::open(&folder.path().join("plan.db"), None).await.expect("opens");
        for sql in [ticks_sql(false), ticks_sql(true), latest_sql(), candles_sql(), SYMBOLS.to_owned()] {
            let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(&store.readers)
                .await
                .expect("a plan");
            for step in plan {
                let step: String = step.get("detail");
                // `min(symbol)` of a whole index is written SEARCH, too, and reads one row. Symbols and their latest
                // ticks are sorted: as many as there are symbols.
                let of_symbols = sql == latest_sql() || sql == SYMBOLS;
                assert!(of_symbols || !step.contains("TEMP B-TREE"), "{sql}\nsorts: {step}");
                let steps_made_here = ["SCAN symbols", "SCAN of_ticks", "SCAN of_bars", "SCAN CONSTANT ROW"];
                assert!(
                    !step.starts_with("SCAN") || steps_made_here.contains(&step.as_str()),
                    "{sql}\nscans: {step}"
                );
            }
        }
    }
}
