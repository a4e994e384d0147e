//! Ticks in the table `realtime_prices`.

mod insert;
mod row;

use async_trait::async_trait;
use market::Symbol;
use sqlx::AssertSqlSafe;

use self::row::COLUMNS;
use super::{PageRequest, TickStore, identity, order};
use crate::{
    PruneRange, Result, StoredTick, TickOutcome, TickPage, TickQuery,
    sqlite::{SqliteStore, time_text::range_end},
};

const TABLE: &str = "realtime_prices";

/// One page; the first, or behind a cursor. The row value compares in the order of the index, and stands alone: with
/// a second lower bound beside it the engine might start at the wrong one.
fn page_sql(behind_cursor: bool) -> String {
    let from = if behind_cursor { "(timestamp, source, seq) > (?, ?, ?)" } else { "timestamp >= ?" };
    format!(
        "SELECT {COLUMNS} FROM realtime_prices WHERE symbol = ? AND {from} AND timestamp < ? \
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
        COLUMNS.split(", ").map(|column| format!("newest.{column}")).collect::<Vec<_>>().join(", ")
    )
}

/// By symbol, because the index in order of time is by symbol.
const PRUNE: &str = "DELETE FROM realtime_prices WHERE (source, symbol, seq) IN ( \
     SELECT source, symbol, seq FROM realtime_prices \
     WHERE symbol = ?1 AND timestamp >= ?2 AND timestamp < ?3 AND processed_at < ?4 ORDER BY timestamp LIMIT ?5)";

#[async_trait]
impl TickStore for SqliteStore {
    async fn write_ticks(&self, ticks: &[StoredTick]) -> Result<Vec<TickOutcome>> {
        match &self.buffer {
            Some(buffer) => self.accept_ticks(buffer, ticks).await,
            None => self.insert_ticks(ticks).await,
        }
    }

    async fn ticks(&self, query: &TickQuery) -> Result<TickPage> {
        let request = PageRequest::of(query)?;
        let select = sqlx::query(AssertSqlSafe(page_sql(request.after.is_some())))
            .bind(query.symbol.as_str().to_owned());
        let select = match &request.after {
            Some(cursor) => select
                .bind(range_end(cursor.timestamp))
                .bind(cursor.source.as_str().to_owned())
                .bind(cursor.seq.cast_signed()),
            None => select.bind(range_end(query.from)),
        };
        let select = select.bind(range_end(query.to)).bind(request.rows() as i64);
        // The buffer first: what moves into the file meanwhile is then in both.
        let buffered = self.buffered_ticks(|row| request.includes(query, row)).await;
        let mut ticks = self.read(select, TABLE, row::decode).await?;
        if !buffered.is_empty() {
            ticks.extend(buffered);
            ticks.sort_by(|one, other| order(&one.tick).cmp(&order(&other.tick)));
            ticks.dedup_by_key(|row| identity(&row.tick));
        }
        Ok(request.page(ticks))
    }

    async fn latest_ticks(&self) -> Result<Vec<StoredTick>> {
        let buffered = self.buffered_ticks(|_| true).await;
        let mut ticks = self.read(sqlx::query(AssertSqlSafe(latest_sql())), TABLE, row::decode).await?;
        if !buffered.is_empty() {
            ticks.extend(buffered);
            let by_symbol = |row: &StoredTick| row.tick.symbol;
            ticks.sort_by(|one, other| {
                by_symbol(one).cmp(&by_symbol(other)).then_with(|| order(&other.tick).cmp(&order(&one.tick)))
            });
            ticks.dedup_by_key(|row| by_symbol(row));
        }
        Ok(ticks)
    }

    async fn tick_symbols(&self) -> Result<Vec<Symbol>> {
        let buffered = self.buffered_ticks(|_| true).await;
        let mut symbols = self.symbols_of(TABLE).await?;
        symbols.extend(buffered.iter().map(|row| row.tick.symbol));
        symbols.sort_unstable();
        symbols.dedup();
        Ok(symbols)
    }

    async fn prune_ticks(&self, range: &PruneRange) -> Result<u64> {
        self.flush().await?;
        self.remove(PRUNE, range).await
    }
}

/// The queries whose plans `sqlite::query` checks.
#[cfg(test)]
pub(crate) fn queries() -> [String; 3] {
    [page_sql(false), page_sql(true), latest_sql()]
}
