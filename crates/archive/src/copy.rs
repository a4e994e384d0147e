//! One store into another.

use live_store::LiveStore;
use tokio_util::sync::CancellationToken;

use crate::{
    ArchiveError, Counts, OnProgress, Progress, Result, Selection, check_target, target::Target, walk::Walk,
};

/// Copies the selected rows of `from` into `to`. What is there stays, so that it can be repeated: after a stop, or to
/// bring over what has come since.
///
/// With `checkpoints` every stream processor continues in `to` where it is in `from`. That is right only on the same event log.
///
/// # Errors
/// Stores that fail or refuse, and [`ArchiveError::Stopped`].
pub async fn copy(
    from: &dyn LiveStore,
    to: &dyn LiveStore,
    selection: &Selection,
    checkpoints: bool,
    stop: &CancellationToken,
    on_progress: OnProgress<'_>,
) -> Result<Counts> {
    if checkpoints && !selection.is_everything() {
        return Err(ArchiveError::Checkpoints(
            "they stand for all rows, and only some are copied".to_owned(),
        ));
    }
    let mut walk = Walk::start(from, selection, None).await?;
    if let Some(prices) = walk.prices()? {
        check_target(to, prices).await?;
    }
    let mut target = Target::new(to);
    let mut held_back = Vec::new();
    let mut rows = 0;
    while let Some(page) = walk.next().await? {
        let count = page.rows.len() as u64;
        if !page.rows.stands_for_others() {
            target.store(&*page.rows, &|_| Ok(())).await?;
        } else if checkpoints {
            page.rows.check(&target).await?;
            held_back.push(page.rows);
        }
        rows += count;
        on_progress(Progress { rows, part: &page.part });
        if stop.is_cancelled() {
            return Err(ArchiveError::Stopped);
        }
    }
    if checkpoints && held_back.is_empty() {
        return Err(ArchiveError::Checkpoints("the store has none".to_owned()));
    }
    for rows in &held_back {
        target.store(&**rows, &|_| Ok(())).await?;
    }
    Ok(target.counts)
}
