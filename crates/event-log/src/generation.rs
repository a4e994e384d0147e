//! Numbers of assignments.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that is unique among the assignments of this process, across all groups and logs.
pub(crate) fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
