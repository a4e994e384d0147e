//! Candles in the table `candles`.

use std::sync::LazyLock;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Candle, CandleFields, Symbol, decimal_to_f64};
use sqlx::{
    Arguments, AssertSqlSafe, Row,
    error::BoxDynError,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{CandleQuery, CandleStore, limit};
use crate::{
    PruneRange, Result,
    sqlite::{
        SqliteStore,
        columns::{decimal, optional_decimal, placeholders, read_time, text, time, unsigned},
        time_text::range_end,
    },
};

const TABLE: &str = "candles";

/// The columns, in the order in which candles are bound and read.
const COLUMNS: &str = "symbol, interval, time, open, high, low, close, volume, ticks, source, final";
const COLUMN_COUNT: usize = 11;

/// Rows per statement; one-minute candles of many symbols come together, single ones otherwise.
const CHUNKS: [usize; 2] = [64, 1];

static UPSERTS: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| {
    CHUNKS.map(|rows| {
        format!(
            "INSERT INTO candles ({COLUMNS}) VALUES {} \
             ON CONFLICT (symbol, interval, time, source) DO UPDATE SET open = excluded.open, high = excluded.high, \
             low = excluded.low, close = excluded.close, volume = excluded.volume, ticks = excluded.ticks, \
             final = excluded.final",
            placeholders(rows, COLUMN_COUNT)
        )
    })
});

fn range_sql() -> String {
    format!(
        "SELECT {COLUMNS} FROM candles WHERE symbol = ? AND interval = ? AND time >= ? AND time < ? \
         ORDER BY time DESC, source DESC LIMIT ?"
    )
}

const PRUNE: &str = "DELETE FROM candles WHERE (symbol, interval, time, source) IN ( \
     SELECT symbol, interval, time, source FROM candles \
     WHERE symbol = ?1 AND interval = '1m' AND time >= ?2 AND time < ?3 AND stored_at < ?4 LIMIT ?5)";

/// A minute of a range that was stored at or after a time.
const STORED_LATER: &str = "SELECT time FROM candles \
     WHERE symbol = ?1 AND interval = '1m' AND time >= ?2 AND time < ?3 AND stored_at >= ?4 LIMIT 1";

const OLDEST_MINUTE: &str =
    "SELECT time FROM candles WHERE symbol = ?1 AND interval = '1m' AND time >= ?2 ORDER BY time LIMIT 1";

#[async_trait]
impl CandleStore for SqliteStore {
    async fn write_candles(&self, candles: &[Candle]) -> Result<()> {
        if candles.is_empty() {
            return Ok(());
        }
        let mut writing = self.begin().await?;
        let mut rest = candles;
        while let Some((rows, sql)) = CHUNKS.iter().zip(&*UPSERTS).find(|(rows, _)| **rows <= rest.len()) {
            let (chunk, behind) = rest.split_at(*rows);
            rest = behind;
            let mut arguments = SqliteArguments::default();
            arguments.reserve(chunk.len() * COLUMN_COUNT, 0);
            for candle in chunk {
                bind(candle, &mut arguments).map_err(|error| {
                    self.refused(format!("cannot store the candle {}: {error}", candle.id()))
                })?;
            }
            sqlx::query_with(sql.as_str(), arguments)
                .execute(writing.connection())
                .await
                .map_err(|error| self.failure(&error))?;
        }
        Ok(writing.commit().await?)
    }

    async fn candles(&self, query: &CandleQuery) -> Result<Vec<Candle>> {
        let select = sqlx::query(AssertSqlSafe(range_sql()))
            .bind(query.symbol.as_str().to_owned())
            .bind(query.interval.as_str())
            .bind(range_end(query.from))
            .bind(range_end(query.to))
            .bind(limit(query) as i64);
        let mut candles = self.read(select, TABLE, decode).await?;
        candles.reverse();
        Ok(candles)
    }

    async fn candle_symbols(&self) -> Result<Vec<Symbol>> {
        self.symbols_of(TABLE).await
    }

    async fn oldest_minute(&self, symbol: Symbol, from: DateTime<Utc>) -> Result<Option<DateTime<Utc>>> {
        let select = sqlx::query(OLDEST_MINUTE).bind(symbol.as_str().to_owned()).bind(range_end(from));
        let found = self.read(select, TABLE, |row| read_time(row, "time", 0)).await?;
        Ok(found.into_iter().next())
    }

    async fn prune_candles(&self, range: &PruneRange) -> Result<u64> {
        let select = sqlx::query(STORED_LATER)
            .bind(range.symbol.as_str().to_owned())
            .bind(range_end(range.from))
            .bind(range_end(range.to))
            .bind(range_end(range.stored_before));
        let stored_later = self.read(select, TABLE, |row| read_time(row, "time", 0)).await?;
        if stored_later.is_empty() { self.remove(PRUNE, range).await } else { Ok(0) }
    }
}

fn bind(candle: &Candle, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    to.add(candle.symbol.as_str())?;
    to.add(candle.interval.as_str())?;
    to.add(time(candle.time)?)?;
    to.add(decimal_to_f64(candle.open))?;
    to.add(decimal_to_f64(candle.high))?;
    to.add(decimal_to_f64(candle.low))?;
    to.add(decimal_to_f64(candle.close))?;
    to.add(candle.volume.map(decimal_to_f64))?;
    to.add(candle.ticks.cast_signed())?;
    to.add(candle.source.to_string())?;
    to.add(candle.is_final)
}

/// A candle from [`COLUMNS`].
fn decode(row: &SqliteRow) -> Result<Candle, BoxDynError> {
    Ok(Candle::new(CandleFields {
        symbol: text(row, "symbol", 0, Symbol::parse)?,
        interval: text(row, "interval", 1, str::parse)?,
        time: read_time(row, "time", 2)?,
        open: decimal(row, "open", 3)?,
        high: decimal(row, "high", 4)?,
        low: decimal(row, "low", 5)?,
        close: decimal(row, "close", 6)?,
        volume: optional_decimal(row, "volume", 7)?,
        ticks: unsigned(row, 8)?,
        source: text(row, "source", 9, str::parse)?,
        is_final: row.try_get(10)?,
    })?)
}

/// The queries whose plans `sqlite::query` checks.
#[cfg(test)]
pub(crate) fn queries() -> [String; 3] {
    [range_sql(), STORED_LATER.to_owned(), OLDEST_MINUTE.to_owned()]
}
