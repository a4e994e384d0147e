//! A look at a store without changing it.

use std::path::PathBuf;

use crate::{Result, mysql, sqlite, store::Location};

/// What is found at a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCheck {
    /// Where it is, without credentials.
    pub place: String,
    /// The format of its tables; 0: the batch has not created them yet.
    pub format: usize,
    /// The newest format known; the batch brings an older one up when it starts.
    pub newest: usize,
    /// What was found besides, in words: the server and its version, or the size of the file.
    pub found: String,
    /// For a store in a file: the folder, which must be writable and have room.
    pub folder: Option<PathBuf>,
}

/// Looks at the store that `url` names; creates and changes nothing.
///
/// # Errors
/// Those of [`crate::open`].
pub async fn check(url: &str) -> Result<StoreCheck> {
    match Location::parse(url)? {
        Location::File(file) => sqlite::look(&file.path).await,
        Location::Server => mysql::look(url).await,
    }
}
