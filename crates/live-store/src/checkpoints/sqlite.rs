//! Checkpoints in the table `checkpoints`.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use sqlite_file::Failure;
use sqlx::{AssertSqlSafe, Row, SqliteConnection, error::BoxDynError, sqlite::SqliteRow};

use super::{Checkpoint, CheckpointStore, signed};
use crate::{
    LiveStoreError, Result,
    sqlite::{SqliteStore, columns},
};

/// In the order in which they are read.
const COLUMNS: &str =
    "processor, topic, \"partition\", generation, next_offset, log_identity, caught_up_at, state";

fn claim_sql() -> String {
    format!(
        "INSERT INTO checkpoints (processor, topic, \"partition\", generation, next_offset, state) \
         VALUES (?, ?, ?, 1, 0, '') \
         ON CONFLICT (processor, topic, \"partition\") DO UPDATE SET generation = generation + 1 \
         RETURNING {COLUMNS}"
    )
}

/// The first save of a generation may have any offset, those after it none smaller. Generation 0 has no owner.
const SAVE: &str = "UPDATE checkpoints \
     SET next_offset = ?1, log_identity = ?2, caught_up_at = ?3, state = ?4, saved_generation = generation \
     WHERE processor = ?5 AND topic = ?6 AND \"partition\" = ?7 AND generation = ?8 AND generation > 0 \
     AND (saved_generation <> generation OR next_offset <= ?1)";

const IS_OWNER: &str = "SELECT count(*) FROM checkpoints \
     WHERE processor = ? AND topic = ? AND \"partition\" = ? AND generation = ? AND generation > 0";

fn all_sql() -> String {
    format!("SELECT {COLUMNS} FROM checkpoints ORDER BY processor, topic, \"partition\"")
}

#[async_trait]
impl CheckpointStore for SqliteStore {
    async fn claim(&self, processor: &str, partitions: &[(Arc<str>, i32)]) -> Result<Vec<Checkpoint>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        // What was accepted under the claim before belongs into the file first.
        self.flush().await?;
        let mut writing = self.begin().await?;
        let mut claimed = Vec::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            let row = sqlx::query(AssertSqlSafe(claim_sql()))
                .bind(processor)
                .bind(&**topic)
                .bind(partition)
                .fetch_one(writing.connection())
                .await
                .map_err(|error| self.failure(&error))?;
            claimed.push(decode(&row).map_err(|error| damaged(self.file.path(), &*error))?);
        }
        writing.commit().await?;
        Ok(claimed)
    }

    async fn save_checkpoints(&self, checkpoints: &[Checkpoint]) -> Result<Vec<usize>> {
        if checkpoints.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(buffer) = &self.buffer {
            return self.accept_checkpoints(buffer, checkpoints).await;
        }
        let mut writing = self.begin().await?;
        let mut refused = Vec::new();
        for (index, checkpoint) in checkpoints.iter().enumerate() {
            if !self.save(writing.connection(), checkpoint).await? {
                refused.push(index);
            }
        }
        writing.commit().await?;
        Ok(refused)
    }

    async fn checkpoints(&self, processor: &str) -> Result<Vec<Checkpoint>> {
        self.flush().await?;
        let sql =
            format!("SELECT {COLUMNS} FROM checkpoints WHERE processor = ? ORDER BY topic, \"partition\"");
        let select = sqlx::query(AssertSqlSafe(sql)).bind(processor.to_owned());
        self.read(select, "checkpoints", decode).await
    }

    async fn all_checkpoints(&self) -> Result<Vec<Checkpoint>> {
        self.flush().await?;
        self.read(sqlx::query(AssertSqlSafe(all_sql())), "checkpoints", decode).await
    }
}

impl SqliteStore {
    /// Whether the generation owns the partition; then it is saved, or a delayed write.
    pub(crate) async fn save(
        &self,
        connection: &mut SqliteConnection,
        checkpoint: &Checkpoint,
    ) -> Result<bool> {
        let Checkpoint { processor, topic, partition, log_identity, state, .. } = checkpoint;
        let (next_offset, generation) = self.signed_numbers(checkpoint)?;
        let caught_up_at = self.caught_up_text(checkpoint)?;
        let saved = sqlx::query(SAVE)
            .bind(next_offset)
            .bind(log_identity)
            .bind(caught_up_at)
            .bind(state)
            .bind(processor)
            .bind(topic)
            .bind(partition)
            .bind(generation)
            .execute(&mut *connection)
            .await
            .map_err(|error| self.failure(&error))?;
        if saved.rows_affected() > 0 {
            return Ok(true);
        }
        self.is_owner_in(connection, checkpoint, generation).await
    }

    /// Whether the generation owns the partition.
    pub(crate) async fn is_owner(&self, checkpoint: &Checkpoint) -> Result<bool> {
        let (_, generation) = self.signed_numbers(checkpoint)?;
        let mut connection = self.file.readers().acquire().await.map_err(|error| self.failure(&error))?;
        self.is_owner_in(&mut connection, checkpoint, generation).await
    }

    async fn is_owner_in(
        &self,
        connection: &mut SqliteConnection,
        Checkpoint { processor, topic, partition, .. }: &Checkpoint,
        generation: i64,
    ) -> Result<bool> {
        let owned: i64 = sqlx::query_scalar(IS_OWNER)
            .bind(processor)
            .bind(topic)
            .bind(partition)
            .bind(generation)
            .fetch_one(connection)
            .await
            .map_err(|error| self.failure(&error))?;
        Ok(owned > 0)
    }

    /// When the partition was last read to its end, as it is bound.
    pub(crate) fn caught_up_text(&self, checkpoint: &Checkpoint) -> Result<Option<Arc<str>>> {
        let Checkpoint { topic, partition, caught_up_at, .. } = checkpoint;
        caught_up_at.map(columns::time).transpose().map_err(|error| {
            self.refused(format!("cannot store the checkpoint of {topic}[{partition}]: {error}"))
        })
    }

    /// Offset and generation.
    pub(crate) fn signed_numbers(&self, checkpoint: &Checkpoint) -> Result<(i64, i64)> {
        let signed = |name, number| signed(name, number).map_err(|reason| self.refused(reason));
        Ok((signed("offset", checkpoint.next_offset)?, signed("generation", checkpoint.generation)?))
    }
}

/// Those of all processors, of a file that is not opened as a store.
pub(crate) async fn all(path: &Path, connection: &mut SqliteConnection) -> Result<Vec<Checkpoint>> {
    let rows = sqlx::query(AssertSqlSafe(all_sql())).fetch_all(connection).await;
    let rows = rows.map_err(|error| LiveStoreError::from(Failure::of(&error).at(path)))?;
    rows.iter().map(decode).collect::<Result<_, _>>().map_err(|error| damaged(path, &*error))
}

fn decode(row: &SqliteRow) -> Result<Checkpoint, BoxDynError> {
    Ok(Checkpoint {
        processor: row.try_get(0)?,
        topic: row.try_get(1)?,
        partition: row.try_get(2)?,
        generation: columns::unsigned(row, 3)?,
        next_offset: columns::unsigned(row, 4)?,
        log_identity: row.try_get(5)?,
        caught_up_at: columns::optional_time(row, "caught_up_at", 6)?,
        state: row.try_get(7)?,
    })
}

fn damaged(path: &Path, error: &(dyn std::error::Error + Send + Sync)) -> LiveStoreError {
    LiveStoreError::Refused {
        place: path.display().to_string(),
        reason: format!("a row of checkpoints is damaged: {error}"),
    }
}
