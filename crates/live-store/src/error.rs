//! The errors of the store; each message includes what to do next.

/// A failure of the live store.
#[derive(Debug, thiserror::Error)]
pub enum LiveStoreError {
    /// The URL names no adapter or lacks a part.
    #[error("store URL `{url}`: {reason}; use sqlite:path or mongodb://host/database")]
    BadUrl {
        /// The URL without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The cursor was not returned by a page of the same list.
    #[error("`{cursor}` is no cursor of a page of this list; start again without one")]
    BadCursor {
        /// What was given, shortened.
        cursor: String,
    },
    /// The database was written by a newer version.
    #[error(
        "{place} was written by a newer version (format {found}, this one reads up to {known}); upgrade, or name another store (--data, --store)"
    )]
    NewerFormat {
        /// The database.
        place: String,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// No space, or over a quota. An embedded store stored nothing of the call, a server maybe part of it; the call can be
    /// repeated whole.
    #[error(
        "no space left on the disk of {place}; make room, the batch will be sent again, or name another store (--data, --store, \
         STORE_URL)"
    )]
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
}

impl LiveStoreError {
    /// The same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::DiskFull { .. })
    }
}
