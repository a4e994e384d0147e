//! Keeps the write-ahead log bounded where passive checkpoints cannot.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use sqlx::SqlitePool;

/// Readers that overlap for long keep the log from starting over. Beyond this size the writer waits for them.
pub(crate) const MAX_WAL_BYTES: u64 = 64 << 20;

#[derive(Debug)]
pub(crate) struct WalBound {
    file: PathBuf,
    /// The size at which the next attempt is made: one that failed is not repeated with every transaction.
    next_attempt_bytes: AtomicU64,
}

impl WalBound {
    pub(crate) fn new(path: &Path) -> Self {
        let mut file = path.as_os_str().to_owned();
        file.push("-wal");
        Self { file: file.into(), next_attempt_bytes: AtomicU64::new(MAX_WAL_BYTES) }
    }

    /// Called after commits. Waits for readers at most for the busy timeout, and only once in [`MAX_WAL_BYTES`].
    pub(crate) async fn enforce(&self, writer: &SqlitePool) {
        let Ok(bytes) = tokio::fs::metadata(&self.file).await.map(|file| file.len()) else {
            return;
        };
        if bytes < self.next_attempt_bytes.load(Ordering::Relaxed) {
            return;
        }
        let is_done = sqlx::query_as::<_, (i64, i64, i64)>("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(writer)
            .await
            .is_ok_and(|(busy, _, _)| busy == 0);
        let next = if is_done { MAX_WAL_BYTES } else { bytes + MAX_WAL_BYTES };
        self.next_attempt_bytes.store(next, Ordering::Relaxed);
        if !is_done {
            tracing::warn!(file = %self.file.display(), bytes, "the write-ahead log grows: a reader holds it");
        }
    }
}
