//! Bars and checkpoints.

use std::{path::Path, sync::LazyLock};

use market::Candle;
use sqlx::{
    Arguments, Row, SqliteConnection,
    error::BoxDynError,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    SqliteStore, failure,
    rows::{self, CANDLE_COLUMN_COUNT, CANDLE_COLUMNS, placeholders},
    transaction::WriteTransaction,
};
use crate::{Checkpoint, LiveStoreError, Result};

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

const UPSERT_CHECKPOINT: &str = "INSERT INTO checkpoints (processor, topic, \"partition\", next_offset, state) \
     VALUES (?, ?, ?, ?, ?) ON CONFLICT (processor, topic, \"partition\") \
     DO UPDATE SET next_offset = excluded.next_offset, state = excluded.state \
     WHERE ? OR excluded.next_offset >= checkpoints.next_offset";

impl SqliteStore {
    /// One transaction: here bars and checkpoints appear together, which is more than the port promises.
    pub(super) async fn upsert_progress(&self, candles: &[Candle], checkpoints: &[Checkpoint]) -> Result<()> {
        if candles.is_empty() && checkpoints.is_empty() {
            return Ok(());
        }
        let mut writing = self.begin().await?;
        self.upsert_candles(&mut writing, candles).await?;
        self.upsert_checkpoints(&mut writing, checkpoints, false).await?;
        writing.commit().await
    }

    /// Also back to smaller offsets.
    pub(super) async fn replace_checkpoints(&self, checkpoints: &[Checkpoint]) -> Result<()> {
        if checkpoints.is_empty() {
            return Ok(());
        }
        let mut writing = self.begin().await?;
        self.upsert_checkpoints(&mut writing, checkpoints, true).await?;
        writing.commit().await
    }

    async fn upsert_checkpoints(
        &self,
        writing: &mut WriteTransaction<'_>,
        checkpoints: &[Checkpoint],
        also_back: bool,
    ) -> Result<()> {
        for checkpoint in checkpoints {
            let next_offset = i64::try_from(checkpoint.next_offset).map_err(|_| {
                self.refused(format!(
                    "the offset {} of a checkpoint is above {}",
                    checkpoint.next_offset,
                    i64::MAX
                ))
            })?;
            sqlx::query(UPSERT_CHECKPOINT)
                .bind(&checkpoint.processor)
                .bind(&checkpoint.topic)
                .bind(checkpoint.partition)
                .bind(next_offset)
                .bind(&checkpoint.state)
                .bind(also_back)
                .execute(writing.connection())
                .await
                .map_err(|error| self.failure(&error))?;
        }
        Ok(())
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

    pub(super) async fn read_checkpoints(&self, processor: &str) -> Result<Vec<Checkpoint>> {
        let sql = "SELECT processor, topic, \"partition\", next_offset, state FROM checkpoints WHERE processor = ? \
                   ORDER BY topic, \"partition\"";
        self.read(sqlx::query(sql).bind(processor.to_owned()), "checkpoints", checkpoint).await
    }
}

/// Those of all processors, for a look from outside.
pub(super) async fn all_checkpoints(
    path: &Path,
    connection: &mut SqliteConnection,
) -> Result<Vec<Checkpoint>> {
    let sql = "SELECT processor, topic, \"partition\", next_offset, state FROM checkpoints \
               ORDER BY processor, topic, \"partition\"";
    let rows = sqlx::query(sql).fetch_all(connection).await;
    let rows = rows.map_err(|error| failure::translate(path, &error))?;
    rows.iter().map(checkpoint).collect::<Result<_, _>>().map_err(|error| LiveStoreError::Refused {
        place: path.display().to_string(),
        reason: format!("a row of checkpoints is damaged: {error}"),
    })
}

fn checkpoint(row: &SqliteRow) -> Result<Checkpoint, BoxDynError> {
    Ok(Checkpoint {
        processor: row.try_get(0)?,
        topic: row.try_get(1)?,
        partition: row.try_get(2)?,
        next_offset: row.try_get::<i64, _>(3)?.cast_unsigned(),
        state: row.try_get(4)?,
    })
}
