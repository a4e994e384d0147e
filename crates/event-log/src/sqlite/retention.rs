//! Takes away what is older than its topic keeps it: on open, and from then on in the background.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{catalog::Catalog, store::Files, writer::Op};
use crate::{EventLogError, Result};

/// Longest time between two looks.
const LONGEST_PAUSE_MS: u64 = 60_000;
/// Shortest time between two looks, for topics that keep records for seconds only.
const SHORTEST_PAUSE_MS: u64 = 500;

/// Deletes all that has expired, a little at a time, so that records get in between.
pub(crate) async fn expire_all(ops: &mpsc::Sender<Op>, files: &Files) -> Result<()> {
    loop {
        let (reply, answer) = oneshot::channel();
        ops.send(Op::Expire { reply }).await.map_err(|_| EventLogError::Closed)?;
        match answer.await.map_err(|_| EventLogError::Closed)? {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            // A full disk is no reason not to open: reading goes on, and deleting is tried again.
            Err(EventLogError::DiskFull { .. }) => {
                tracing::warn!("no space to delete expired records of {}", files.shown());
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

/// Looks again and again until the log is closed.
pub(crate) async fn run(
    ops: mpsc::WeakSender<Op>,
    files: Files,
    catalog: Arc<Catalog>,
    closing: CancellationToken,
) {
    loop {
        let shortest = catalog.all().iter().map(|topic| topic.retention).min().unwrap_or(Duration::MAX);
        let pause = (shortest / 4)
            .clamp(Duration::from_millis(SHORTEST_PAUSE_MS), Duration::from_millis(LONGEST_PAUSE_MS))
            // A topic created meanwhile may keep records for seconds only.
            .min(if catalog.all().is_empty() { Duration::from_secs(1) } else { Duration::MAX });
        tokio::select! {
            () = closing.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let Some(ops) = ops.upgrade() else { return };
        if let Err(error) = expire_all(&ops, &files).await {
            tracing::warn!("expired records stay for now: {error}");
        }
    }
}
