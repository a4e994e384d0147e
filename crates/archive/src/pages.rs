//! Pages of rows, and calls that are repeated while a store is away.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chrono::{DateTime, TimeDelta, Utc};
use live_store::LiveStoreError;

use crate::{ArchiveError, Result};

/// Rows that are read or written at once.
pub(crate) const PAGE_ROWS: usize = 5_000;
/// A store that is away is tried again so many times, with waits from [`RETRY_MIN_MS`], doubled each time.
const RETRIES: usize = 8;
const RETRY_MIN_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 5_000;

/// Repeats a call while the store is away, some ten seconds in all. A full disk is not waited for.
pub(crate) async fn patiently<T, F>(call: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T, LiveStoreError>>,
{
    let waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(RETRY_MIN_MS))
        .with_max_delay(Duration::from_millis(RETRY_MAX_MS))
        .with_max_times(RETRIES);
    call.retry(waits)
        .when(|error| error.is_transient() && !matches!(error, LiveStoreError::DiskFull { .. }))
        .await
        .map_err(ArchiveError::Store)
}

/// The smallest range that holds both times, its end exclusive.
pub(crate) fn range_of(times: impl Iterator<Item = DateTime<Utc>> + Clone) -> (DateTime<Utc>, DateTime<Utc>) {
    let from = times.clone().min().unwrap_or_default();
    let last = times.max().unwrap_or_default();
    (from, last.checked_add_signed(TimeDelta::microseconds(1)).unwrap_or(last))
}
