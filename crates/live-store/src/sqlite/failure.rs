//! From the engine's result codes to the errors of the port.

use std::path::Path;

use crate::LiveStoreError;

/// The primary result codes that mean something to us, <https://www.sqlite.org/rescode.html>.
mod code {
    pub(crate) const BUSY: i32 = 5;
    pub(crate) const LOCKED: i32 = 6;
    pub(crate) const NOMEM: i32 = 7;
    pub(crate) const READONLY: i32 = 8;
    pub(crate) const INTERRUPT: i32 = 9;
    pub(crate) const IOERR: i32 = 10;
    pub(crate) const CORRUPT: i32 = 11;
    pub(crate) const FULL: i32 = 13;
    pub(crate) const CANTOPEN: i32 = 14;
    pub(crate) const NOTADB: i32 = 26;
    /// Extended: the shared memory beside the file does not fit on the disk.
    pub(crate) const IOERR_SHMSIZE: i32 = 4_874;
}

/// Says what happened to the store at `path`, and what to do next.
pub(crate) fn translate(path: &Path, error: &sqlx::Error) -> LiveStoreError {
    let place = path.display().to_string();
    let engine = match error {
        sqlx::Error::Database(engine) => engine,
        sqlx::Error::PoolTimedOut => {
            let reason = "busy: no connection became free in time".to_owned();
            return LiveStoreError::Unavailable { place, reason };
        }
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => {
            return LiveStoreError::Unavailable { place, reason: error.to_string() };
        }
        other => {
            return LiveStoreError::Refused { place, reason: other.to_string() };
        }
    };
    // The low byte is the primary code, what stands above it refines it.
    let extended = engine.code().and_then(|code| code.parse::<i32>().ok());
    let primary = extended.map(|code| code & 0xff);
    let refused = |reason: String| LiveStoreError::Refused { place: place.clone(), reason };
    match primary {
        Some(code::FULL) => LiveStoreError::DiskFull { place },
        Some(code::IOERR) if extended == Some(code::IOERR_SHMSIZE) => LiveStoreError::DiskFull { place },
        Some(code::BUSY | code::LOCKED) => LiveStoreError::Unavailable {
            place,
            reason: format!("busy, another process is using it ({})", engine.message()),
        },
        Some(code::IOERR | code::NOMEM | code::INTERRUPT) => {
            LiveStoreError::Unavailable { place, reason: engine.message().to_owned() }
        }
        Some(code::READONLY) => refused(
            "is read-only; make file and folder writable, or name another store (--data, --store, STORE_URL)"
                .into(),
        ),
        Some(code::CANTOPEN) => refused(
            "cannot be opened; is the folder writable, and is it a file? Or use another --data folder".into(),
        ),
        Some(code::NOTADB) => {
            refused("is not a SQLite database; move it away, or use another --data folder".into())
        }
        Some(code::CORRUPT) => refused(format!(
            "is damaged ({}); restore it, or move it away and fill it again",
            engine.message()
        )),
        _ => refused(engine.message().to_owned()),
    }
}
