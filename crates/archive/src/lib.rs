//! Ticks and candles of a live store as a folder of compressed files ([`export`]), back into a store ([`import`]), and
//! from one store into another ([`copy`], [`copy_accounts`]). `schema/archive/README.md` describes the folder.
//!
//! Memory is bounded, whatever the store holds: at most two files of [`MAX_FILE_BYTES`] and a page of rows are held.
//! Everything can be killed at any moment and run again.

mod accounts;
mod copy;
mod error;
mod export;
mod file;
mod held;
mod import;
mod journal;
mod json;
mod kind;
mod manifest;
mod noun;
mod pages;
mod prices;
mod selection;
mod target;
mod walk;

pub use accounts::{AccountCounts, copy_accounts};
pub use copy::copy;
pub use error::ArchiveError;
pub use export::{Exported, export};
pub use file::{FileEntry, MAX_FILE_BYTES};
pub use held::{check_target, held};
pub use import::{Imported, Importing, import};
pub use kind::Kind;
pub use manifest::{FORMAT, Manifest, Totals};
pub use prices::{Held, Prices};
pub use selection::Selection;
pub use target::{Counts, RowCounts};

/// Result of this crate.
pub type Result<T, E = ArchiveError> = std::result::Result<T, E>;

/// How far it is; reported after every page.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Rows so far, of all kinds.
    pub rows: u64,
    /// Where it is: a day, or a width of candles.
    pub part: &'a str,
}

/// Receives how far it is.
pub type OnProgress<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);
