//! Locks within the adapters.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A poisoned lock is used on: what lies behind these locks is whole after each step.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
