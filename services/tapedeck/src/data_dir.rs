//! The data folder: for one instance at a time, and for either real or simulated prices.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use archive::Prices;

/// The data folder without --data. Simulated prices are stored in a separate folder inside it.
const DEFAULT: &str = "data";
/// Locked while an instance runs; contains its process id and address.
const LOCK_FILE: &str = "tapedeck.lock";
/// Contains the kind of prices in the folder.
const PRICES_FILE: &str = "prices";

/// The given folder, or the default.
pub(crate) fn folder(given: Option<&Path>) -> PathBuf {
    given.unwrap_or(Path::new(DEFAULT)).to_owned()
}

/// A data folder, locked until this is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Holds the lock while it is open.
    _lock: File,
}

impl DataDir {
    /// Creates the folder if it is missing, locks it, and checks that it has prices of this kind. `who` names the instance to
    /// others.
    ///
    /// # Errors
    /// A folder that cannot be written, is in use, or has the other kind of prices. Each message names the next step.
    pub(crate) fn open(path: &Path, prices: Prices, who: &str) -> anyhow::Result<Self> {
        create_private(path).with_context(|| {
            format!("cannot create the data folder {}; choose another with --data", path.display())
        })?;
        let lock = lock(path, who)?;
        check_prices(path, prices)?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// URL of the embedded event log.
    pub(crate) fn log_url(&self) -> String {
        log_url(&self.path)
    }

    /// URL of the embedded live store.
    pub(crate) fn store_url(&self) -> String {
        store_url(&self.path)
    }

    /// URL of the embedded analytics store.
    pub(crate) fn analytics_url(&self) -> String {
        analytics_url(&self.path)
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// URL of the embedded event log of a folder.
pub(crate) fn log_url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("log.db").display())
}

/// URL of the embedded live store of a folder.
pub(crate) fn store_url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("store.db").display())
}

/// URL of the embedded analytics store of a folder.
pub(crate) fn analytics_url(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("analytics.db").display())
}

/// Folder of the mails that are written to files, in a data folder.
pub(crate) fn outbox(folder: &Path) -> PathBuf {
    folder.join("outbox")
}

/// Creates a folder that only this user can enter: a store has addresses, password hashes and mails. One that is there stays as it is.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Whether an instance has locked the folder.
pub(crate) fn is_in_use(folder: &Path) -> bool {
    let lock = OpenOptions::new().read(true).write(true).open(folder.join(LOCK_FILE));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

fn lock(path: &Path, who: &str) -> anyhow::Result<File> {
    let file = path.join(LOCK_FILE);
    let mut lock =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&file).with_context(
            || format!("the data folder {} cannot be written; choose another with --data", path.display()),
        )?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // For the message only; it does without if the file cannot be read.
            let _ = lock.read_to_string(&mut holder);
            bail!(
                "the data folder {} is in use by another instance ({}); stop it, or choose another folder with --data",
                path.display(),
                holder.trim()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", file.display()));
        }
    }
    let written = lock
        .set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| writeln!(lock, "pid {}, {who}", std::process::id()));
    if let Err(error) = written {
        // The lock holds without the text, and on a full disk log and store wait for space.
        tracing::warn!(file = %file.display(), %error, "the holder of the lock was not written");
    }
    Ok(lock)
}

fn check_prices(path: &Path, wanted: Prices) -> anyhow::Result<()> {
    let file = path.join(PRICES_FILE);
    match fs::read_to_string(&file) {
        Ok(found) if found.trim() == wanted.as_str() => Ok(()),
        Ok(found) => bail!(
            "the data folder {} has {} prices and this run has {} ones; simulated and real prices never share a \
             store: choose another folder with --data",
            path.display(),
            found.trim(),
            wanted.as_str()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::write(&file, wanted.as_str()).with_context(|| format!("cannot write {}", file.display()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}
