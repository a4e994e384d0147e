//! Deletes expired records: when the log is opened, and then in the background.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{catalog::Catalog, store::Files, writer::Op};
use crate::{EventLogError, Result};

/// Longest interval between two runs.
const LONGEST_INTERVAL_MS: u64 = 60_000;
/// Shortest interval between two runs, for topics with a retention of seconds.
const SHORTEST_INTERVAL_MS: u64 = 500;

/// Deletes all expired records in small transactions, so that records are stored in between.
pub(crate) async fn expire_all(ops: &mpsc::Sender<Op>, files: &Files) -> Result<()> {
    loop {
        let (reply, answer) = oneshot::channel();
        ops.send(Op::Expire { reply }).await.map_err(|_| EventLogError::Closed)?;
        match answer.await.map_err(|_| EventLogError::Closed)? {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // A log on a full disk can still be read, and the next run retries.
            Err(EventLogError::DiskFull { .. }) => {
                tracing::warn!("no space to delete expired records of {}", files.shown());
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

/// Deletes expired records at intervals until the log is closed.
pub(crate) async fn run(
    ops: mpsc::WeakSender<Op>,
    files: Files,
    catalog: Arc<Catalog>,
    closing: CancellationToken,
) {
    loop {
        let shortest = catalog.all().iter().map(|topic| topic.retention).min().unwrap_or(Duration::MAX);
        let interval = (shortest / 4)
            .clamp(Duration::from_millis(SHORTEST_INTERVAL_MS), Duration::from_millis(LONGEST_INTERVAL_MS))
            // A topic created meanwhile may have a retention of seconds.
            .min(if catalog.all().is_empty() { Duration::from_secs(1) } else { Duration::MAX });
        tokio::select! {
            () = closing.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
        let Some(ops) = ops.upgrade() else { return };
        if let Err(error) = expire_all(&ops, &files).await {
            tracing::warn!("expired records were not deleted: {error}");
        }
    }
}
