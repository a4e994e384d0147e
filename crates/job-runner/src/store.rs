//! Where leases and finished runs are kept.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Any failure of a store. The same call may succeed later.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Leases of jobs, and their newest finished runs, shared by all processes that may run them. Every call is atomic.
///
/// A lease belongs to one owner until a time. An owner that dies keeps it until then; afterwards any other takes it. Times are
/// those of the callers' clocks, which must be closer together than a lease is long.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Takes the lease of `job` until `until`, unless another owner has it beyond `now`. Whether `owner` has it now.
    async fn acquire(
        &self,
        job: &str,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<bool, StoreError>;

    /// Extends the lease of `owner`. Whether it still was the owner's.
    async fn renew(&self, job: &str, owner: &str, until: DateTime<Utc>) -> Result<bool, StoreError>;

    /// Ends the lease of `owner`, if it still is the owner's, and with `finished` records that run, unless a newer one is
    /// recorded. Whether it still was the owner's; otherwise nothing changes.
    async fn release(
        &self,
        job: &str,
        owner: &str,
        finished: Option<DateTime<Utc>>,
    ) -> Result<bool, StoreError>;

    /// The time for which the newest finished run was due, or when the job was first seen; `None` for a new job.
    async fn finished(&self, job: &str) -> Result<Option<DateTime<Utc>>, StoreError>;
}
