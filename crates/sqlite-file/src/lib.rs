//! A SQLite file as a store of one kind, with what every such file needs: the URL that names it ([`FileUrl`]), a lock for
//! files that one process owns ([`Lock`]), connections with the settings that make writes durable ([`SqliteFile`]), the format
//! with its migrations ([`Format`]), write transactions, and what an error of the engine means ([`Failure`]).

mod failure;
mod file;
mod format;
mod lock;
mod look;
mod presence;
mod transaction;
mod url;
mod wal;

pub use failure::{Failure, SqliteFileError};
pub use file::{Durability, SqliteFile, Tuning, base_options, create_folder_of};
pub use format::Format;
pub use lock::{Lock, LockError};
pub use look::{FileLook, look};
pub use presence::Presence;
pub use transaction::WriteTransaction;
pub use url::FileUrl;

/// Result of this crate.
pub type Result<T, E = SqliteFileError> = std::result::Result<T, E>;
