//! The file's format: whose it is, which version, and the steps that bring an older one up.

use std::path::Path;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{SqliteStore, failure};
use crate::{LiveStoreError, Migration, Result};

/// `TDLS` in the file's header: a live store of ours, not the event log, not somebody else's database.
const APPLICATION_ID: i64 = 0x5444_4c53;

/// Step `n` (from 0) makes format `n + 1`. Steps are only ever appended.
const STEPS: [&str; 3] = [
    include_str!("../../../../schema/sqlite/live-store/0001_ticks_candles_checkpoints.sql"),
    include_str!("../../../../schema/sqlite/live-store/0002_checkpoint_owners.sql"),
    include_str!("../../../../schema/sqlite/live-store/0003_job_runs.sql"),
];

/// Brings the file to the newest format, or refuses it.
pub(crate) async fn prepare(store: &SqliteStore) -> Result<Migration> {
    let mut done = Vec::new();
    // Also where the format is up to date: whether the file can be written shows now, not with the first tick.
    let mut writing = store.begin().await?;
    let format = check(&store.path, writing.connection()).await?;
    for (step, format) in STEPS.iter().zip(1..).skip(format) {
        let script =
            format!("{step};\nPRAGMA user_version = {format};\nPRAGMA application_id = {APPLICATION_ID};");
        sqlx::raw_sql(AssertSqlSafe(script))
            .execute(writing.connection())
            .await
            .map_err(|error| store.failure(&error))?;
        done.push(format!("the format is now {format}"));
    }
    writing.commit().await?;
    Ok(Migration { place: store.place(), done, refused: Vec::new() })
}

/// The newest format known here.
pub(crate) fn newest() -> usize {
    STEPS.len()
}

/// The format found, at most the newest known.
pub(crate) async fn check(path: &Path, connection: &mut SqliteConnection) -> Result<usize> {
    let sql = "SELECT (SELECT user_version FROM pragma_user_version), \
               (SELECT application_id FROM pragma_application_id), (SELECT count(*) FROM sqlite_schema)";
    let (found, application, tables): (i64, i64, i64) =
        sqlx::query_as(sql).fetch_one(connection).await.map_err(|error| failure::translate(path, &error))?;
    let known = STEPS.len() as i64;
    let place = path.display().to_string();
    match (application, found) {
        (0, 0) if tables == 0 => Ok(0),
        (APPLICATION_ID, found) if found > known => Err(LiveStoreError::NewerFormat { place, found, known }),
        (APPLICATION_ID, found) if found >= 0 => Ok(found as usize),
        _ => {
            let reason = "is a database, but no live store; move it away, or use another --data folder";
            Err(LiveStoreError::Refused { place, reason: reason.to_owned() })
        }
    }
}
