//! The errors of an archive; each message includes what to do next.

use std::{io, path::Path};

use chrono::{DateTime, Utc};
use live_store::LiveStoreError;
use market::Symbol;

/// A failure of an export, an import or a copy.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A store failed; it names itself.
    #[error(transparent)]
    Store(#[from] LiveStoreError),
    /// A file or folder cannot be read or written.
    #[error("cannot {doing} {path}: {error}")]
    Io {
        /// Read, write, lock.
        doing: &'static str,
        /// Which.
        path: String,
        /// The reason.
        error: io::Error,
    },
    /// An export would mix with what is there.
    #[error("{folder} is not empty and holds no unfinished export; choose another folder")]
    NotEmpty {
        /// The folder.
        folder: String,
    },
    /// An export would replace one.
    #[error("{folder} holds a finished export of {made_at}; choose another folder")]
    Finished {
        /// The folder.
        folder: String,
        /// When that was begun.
        made_at: DateTime<Utc>,
    },
    /// The unfinished export is of another store, or of other rows.
    #[error(
        "{folder} holds an unfinished export with another {what}; run that command again, or choose another folder"
    )]
    OtherExport {
        /// The folder.
        folder: String,
        /// In what they differ.
        what: &'static str,
    },
    /// Another process is exporting into the folder.
    #[error("another export into {folder} is running")]
    InUse {
        /// The folder.
        folder: String,
    },
    /// There is nothing to import.
    #[error("{folder} holds no export (no manifest.json)")]
    NoArchive {
        /// The folder.
        folder: String,
    },
    /// The export was killed.
    #[error("the export in {folder} was not finished; run `tapedeck export` again with the same folder")]
    Unfinished {
        /// The folder.
        folder: String,
    },
    /// The manifest is of a later version.
    #[error("{path} is of format {found}, this version reads up to {known}; upgrade Tapedeck")]
    NewerFormat {
        /// The manifest.
        path: String,
        /// Its format.
        found: u64,
        /// The newest known here.
        known: u64,
    },
    /// The manifest cannot be read, or contradicts itself.
    #[error("{path} is no usable manifest: {reason}; get the archive again from where it came")]
    BadManifest {
        /// The manifest.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A file differs from the manifest.
    #[error(
        "{path} is damaged: {reason}; nothing of this file was stored; get it again, or skip it with --skip-damaged"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// A row cannot be understood, though its file is as it was written.
    #[error("{path}, line {line}: {reason}; nothing of this file was stored; skip it with --skip-damaged")]
    BadRow {
        /// The file.
        path: String,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Both kinds of prices in one store.
    #[error(
        "the store holds real prices ({real}) and simulated ones ({simulated}), which never share an archive; choose with \
         --prices"
    )]
    Mixed {
        /// One of the symbols with real prices.
        real: Symbol,
        /// One of those with simulated ones.
        simulated: Symbol,
    },
    /// Invented prices would come among real ones, or the other way round.
    #[error(
        "the target holds {held} prices ({symbol}) and these are {coming}; invented and real prices never share a store: \
         choose another"
    )]
    OtherPrices {
        /// What is in the target.
        held: &'static str,
        /// One symbol of it.
        symbol: Symbol,
        /// What would come.
        coming: &'static str,
    },
    /// What was written does not come back.
    #[error("the target does not return what was written: {0}; is something else changing it?")]
    ReadBack(String),
    /// Checkpoints cannot go over.
    #[error("the checkpoints cannot be taken over: {0}; leave out --checkpoints")]
    Checkpoints(String),
    /// The target has an account of this address already, which is another one.
    #[error("the target has another account of {0}: remove one of the two, and run the same command again")]
    Account(String),
    /// A stored rule is none.
    #[error("an alert rule cannot be copied: {0}")]
    Rule(String),
    /// A mail about alerts, which is still to be sent.
    #[error("a mail about alerts cannot be copied: {0}")]
    Mail(String),
    /// Interrupted between two pages.
    #[error("stopped; run the same command again to continue, nothing has to be undone")]
    Stopped,
}

impl ArchiveError {
    pub(crate) fn io(doing: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { doing, path: path.display().to_string(), error }
    }

    /// One file is to blame; others may be fine.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::BadRow { .. })
    }
}
