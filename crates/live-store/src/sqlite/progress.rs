//! Writing candles.

use std::sync::LazyLock;

use market::Candle;
use sqlx::{Arguments, sqlite::SqliteArguments};

use super::{
    SqliteStore,
    rows::{self, CANDLE_COLUMN_COUNT, CANDLE_COLUMNS, placeholders},
    transaction::WriteTransaction,
};
use crate::Result;

/// Rows per statement; one-minute bars of many symbols come together, single ones otherwise.
const CHUNKS: [usize; 2] = [64, 1];

static UPSERTS: LazyLock<[String; CHUNKS.len()]> = LazyLock::new(|| {
    CHUNKS.map(|rows| {
        format!(
            "INSERT INTO candles ({CANDLE_COLUMNS}) VALUES {} \
             ON CONFLICT (symbol, interval, time, source) DO UPDATE SET open = excluded.open, high = excluded.high, \
             low = excluded.low, close = excluded.close, volume = excluded.volume, ticks = excluded.ticks, \
             final = excluded.final",
            placeholders(rows, CANDLE_COLUMN_COUNT)
        )
    })
});

impl SqliteStore {
    pub(crate) async fn store_candles(&self, candles: &[Candle]) -> Result<()> {
        if candles.is_empty() {
            return Ok(());
        }
        let mut writing = self.begin().await?;
        self.upsert_candles(&mut writing, candles).await?;
        writing.commit().await
    }

    async fn upsert_candles(&self, writing: &mut WriteTransaction<'_>, candles: &[Candle]) -> Result<()> {
        let mut rest = candles;
        while let Some((rows, sql)) = CHUNKS.iter().zip(&*UPSERTS).find(|(rows, _)| **rows <= rest.len()) {
            let (chunk, behind) = rest.split_at(*rows);
            rest = behind;
            let mut arguments = SqliteArguments::default();
            arguments.reserve(chunk.len() * CANDLE_COLUMN_COUNT, 0);
            for candle in chunk {
                rows::bind_candle(candle, &mut arguments).map_err(|error| {
                    self.refused(format!("cannot store the bar {}: {error}", candle.id()))
                })?;
            }
            sqlx::query_with(sql.as_str(), arguments)
                .execute(writing.connection())
                .await
                .map_err(|error| self.failure(&error))?;
        }
        Ok(())
    }
}
