//! A lock for a file that one process owns.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a process that is just closing may hold the lock.
const LOCK_WAIT_MS: u64 = 1_500;
/// How often the lock is tried within that time.
const LOCK_RETRY_MS: u64 = 30;

/// Held while the file is open; the operating system releases it when the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("in use by another process")]
    Held,
    /// The lock file cannot be created.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Lock {
    /// Locks `path.lock` beside the database; the folder must exist. Waits at most 1.5 s.
    ///
    /// # Errors
    /// [`LockError`].
    pub async fn take(path: &Path) -> Result<Self, LockError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(PathBuf::from(name))?;
        for _ in 0..=LOCK_WAIT_MS / LOCK_RETRY_MS {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => {
                    tokio::time::sleep(Duration::from_millis(LOCK_RETRY_MS)).await;
                }
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        Err(LockError::Held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.db");
        let lock = Lock::take(&path).await.expect("free");
        assert!(matches!(Lock::take(&path).await, Err(LockError::Held)));
        drop(lock);
        Lock::take(&path).await.expect("free again");
    }
}
