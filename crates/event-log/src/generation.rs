//! Assignments are told apart by a number.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no other assignment of this process has, in any group of any log.
pub(crate) fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
