//! The statements of the writer.

use std::time::Duration;

use sqlx::SqliteConnection;

use super::{
    catalog::{Catalog, Partition, Topic},
    rows::{JoinedRow, Row, join},
    writer::Pending,
};
use crate::{Retention, TopicSpec, batch};

/// Limit of expired batches that one transaction deletes; records wait meanwhile.
const EXPIRE_BATCHES: i64 = 64;

/// Creates the topics that are missing.
pub(crate) async fn create_topics(
    connection: &mut SqliteConnection,
    catalog: &Catalog,
    specs: &[TopicSpec],
) -> Result<(), sqlx::Error> {
    const INSERT: &str = "INSERT INTO topics (name, partitions, retention_ms) VALUES (?1, ?2, ?3)";
    for spec in specs {
        if catalog.contains(&spec.name) {
            continue;
        }
        let retention = match spec.retention {
            Retention::For(retention) => retention,
            Retention::LatestOfKey => Duration::MAX,
        };
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let id = sqlx::query(INSERT)
            .bind(spec.name.clone())
            .bind(spec.partitions)
            .bind(retention_ms)
            .execute(&mut *connection)
            .await?
            .last_insert_rowid();
        let bounds = vec![(0, 0); spec.partitions.unsigned_abs() as usize];
        catalog.insert(Topic::new(id, &spec.name, retention, bounds));
    }
    Ok(())
}

/// Inserts what is pending and `rows` behind it, and stores the offsets, in one transaction; nothing after an error.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    pending: &Pending,
    rows: &[Row],
) -> Result<(), sqlx::Error> {
    let joined = join(pending.rows.iter().chain(rows));
    if joined.is_empty() && pending.offsets.is_empty() {
        return Ok(());
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let inserted = insert_all(connection, &joined, pending).await;
    // Fails if SQLite has rolled back by itself, as it does on a full disk.
    if inserted.is_err()
        && let Err(error) = sqlx::query("ROLLBACK").execute(connection).await
    {
        tracing::debug!("nothing to roll back: {error}");
    }
    inserted
}

async fn insert_all(
    connection: &mut SqliteConnection,
    joined: &[JoinedRow],
    pending: &Pending,
) -> Result<(), sqlx::Error> {
    const BATCH: &str = "INSERT INTO batches
        (topic, partition, base_offset, records, max_timestamp_ms, stored_ms, blob) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    const OFFSET: &str =
        "INSERT INTO group_offsets (group_name, topic, partition, next_offset) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (group_name, topic, partition) DO UPDATE SET next_offset = excluded.next_offset";
    for JoinedRow { row, is_joined } in joined {
        // Large transactions come at a high rate, where compressing would take longer than writing.
        let blob = if *is_joined { batch::compress(&row.blob) } else { row.blob.to_vec() };
        sqlx::query(BATCH)
            .bind(row.partition.topic_id)
            .bind(row.partition.id.partition)
            .bind(row.base_offset as i64)
            .bind(row.count as i64)
            .bind(row.max_timestamp_ms)
            .bind(row.stored_ms)
            .bind(blob)
            .execute(&mut *connection)
            .await?;
    }
    for ((group, topic, partition), next) in &pending.offsets {
        sqlx::query(OFFSET)
            .bind(group)
            .bind(topic)
            .bind(partition)
            .bind(*next as i64)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(())
}

/// Deletes some batches of a partition that were stored before a time, never the newest. Returns whether there may be more.
pub(crate) async fn expire(
    connection: &mut SqliteConnection,
    partition: &Partition,
    before_ms: i64,
) -> Result<bool, sqlx::Error> {
    // Deletes only from the beginning up to the first batch within the retention, so that a clock change leaves no gap.
    const OLD: &str = "SELECT base_offset, records, stored_ms FROM batches
        WHERE topic = ?1 AND partition = ?2
          AND base_offset < (SELECT max(base_offset) FROM batches WHERE topic = ?1 AND partition = ?2)
        ORDER BY base_offset LIMIT ?3";
    const DELETE: &str = "DELETE FROM batches WHERE topic = ?1 AND partition = ?2 AND base_offset < ?3";
    let number = partition.id.partition;
    let oldest = sqlx::query_as::<_, (i64, i64, i64)>(OLD)
        .bind(partition.topic_id)
        .bind(number)
        .bind(EXPIRE_BATCHES)
        .fetch_all(&mut *connection)
        .await?;
    let expired: Vec<_> = oldest.iter().take_while(|(_, _, stored_ms)| *stored_ms < before_ms).collect();
    let Some((base, records, _)) = expired.last() else {
        return Ok(false);
    };
    let start = base + records;
    sqlx::query(DELETE).bind(partition.topic_id).bind(number).bind(start).execute(connection).await?;
    partition.expire(start.unsigned_abs());
    Ok(expired.len() as i64 == EXPIRE_BATCHES)
}
