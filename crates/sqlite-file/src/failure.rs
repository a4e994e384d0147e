//! What an error of the engine means.

use std::path::Path;

/// The result codes that are distinguished, <https://www.sqlite.org/rescode.html>.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
    /// Extended: the shared memory beside the file does not fit on the disk.
    pub(super) const IOERR_SHMSIZE: i32 = 4_874;
}

/// A failure of a file, with its path.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {failure}")]
pub struct SqliteFileError {
    /// The file, for messages.
    pub path: String,
    /// What happened.
    pub failure: Failure,
}

/// What happened, by what the caller can do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No space, or the bound of the URL is reached. Nothing of the transaction was stored.
    #[error("no space left")]
    Full,
    /// Another process or connection holds the file; the same call may succeed later.
    #[error("busy, another process is using it ({0})")]
    Busy(String),
    /// An I/O error, no memory, a connection that was lost; the same call may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// File or folder cannot be written.
    #[error("is read-only; make file and folder writable")]
    ReadOnly,
    /// The file cannot be opened or created.
    #[error("cannot be opened; is the folder writable, and is it a file?")]
    CannotOpen,
    /// The file was removed or replaced while it was open.
    #[error("was removed or replaced while it was in use; what came since then is lost, start again")]
    Removed,
    /// The folder cannot be created; the reason.
    #[error("cannot create the folder {0}")]
    NoFolder(String),
    /// A file of another kind.
    #[error("is not a SQLite database; move it away")]
    NotADatabase,
    /// A database of another program.
    #[error("is a database, but no {0}; move it away")]
    OtherProgram(&'static str),
    /// The file was written by a newer version.
    #[error("was written by a newer version (format {found}, this one reads up to {known}); upgrade")]
    NewerFormat {
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// The file is damaged.
    #[error("is damaged ({0}); restore it, or move it away and fill it again")]
    Corrupt(String),
    /// Anything else: repeating the call does not help.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// The class of an error of the engine or its driver.
    pub fn of(error: &sqlx::Error) -> Self {
        let engine = match error {
            sqlx::Error::Database(engine) => engine,
            sqlx::Error::PoolTimedOut => {
                return Self::Unavailable("busy: no connection became free in time".to_owned());
            }
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => {
                return Self::Unavailable(error.to_string());
            }
            other => return Self::Other(other.to_string()),
        };
        // The low byte is the primary code, the rest refines it.
        let extended = engine.code().and_then(|code| code.parse::<i32>().ok());
        let message = || engine.message().to_owned();
        match extended.map(|code| code & 0xff) {
            Some(code::FULL) => Self::Full,
            Some(code::IOERR) if extended == Some(code::IOERR_SHMSIZE) => Self::Full,
            Some(code::BUSY | code::LOCKED) => Self::Busy(message()),
            Some(code::IOERR | code::NOMEM | code::INTERRUPT) => Self::Unavailable(message()),
            Some(code::READONLY) => Self::ReadOnly,
            Some(code::CANTOPEN) => Self::CannotOpen,
            Some(code::NOTADB) => Self::NotADatabase,
            Some(code::CORRUPT) => Self::Corrupt(message()),
            _ => Self::Other(message()),
        }
    }

    /// This failure of a file.
    pub fn at(self, path: &Path) -> SqliteFileError {
        SqliteFileError { path: path.display().to_string(), failure: self }
    }
}
