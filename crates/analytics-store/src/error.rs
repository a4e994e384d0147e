//! The errors of the store; each message includes what to do next.

use crate::BadRow;

/// A failure of the analytics store.
#[derive(Debug, thiserror::Error)]
pub enum AnalyticsError {
    /// The URL names no adapter or lacks a part.
    #[error(
        "analytics URL `{url}`: {reason}; use sqlite:path or mysql://user@host/database (--analytics, ANALYTICS_URL)"
    )]
    BadUrl {
        /// The URL without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database was written by a newer version.
    #[error(
        "{place} was written by a newer version: {reason}; upgrade, or name another store (--analytics, ANALYTICS_URL)"
    )]
    NewerFormat {
        /// The database.
        place: String,
        /// What is newer.
        reason: String,
    },
    /// It is opened for reading, and there is nothing to read yet; the same call may succeed later.
    #[error("{place}: its tables do not exist yet; the batch creates them when it starts")]
    NotCreated {
        /// The database.
        place: String,
    },
    /// No space: nothing of the transaction was stored.
    #[error("no space left on the disk of {place}; make room and run the batch again")]
    DiskFull {
        /// The database.
        place: String,
    },
    /// The store is away or busy; the same call may succeed later.
    #[error("{place} is unavailable: {reason}")]
    Unavailable {
        /// The database.
        place: String,
        /// The reason, as the engine gives it.
        reason: String,
    },
    /// The store refused, or holds what it should not; trying again does not help.
    #[error("{place}: {reason}")]
    Refused {
        /// The database.
        place: String,
        /// The reason.
        reason: String,
    },
    /// A stored row cannot be read.
    #[error(transparent)]
    BadRow(#[from] BadRow),
}

impl AnalyticsError {
    /// The same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NotCreated { .. } | Self::DiskFull { .. })
    }
}
