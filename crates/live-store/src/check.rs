//! A look at a store without changing it.

use std::path::PathBuf;

use connection_url::without_credentials;
use sqlite_file::FileUrl;

use crate::{Checkpoint, LiveStoreError, Result, mongo, sqlite};

/// What is found at a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCheck {
    /// Where it is, without credentials.
    pub place: String,
    /// Whether there is one; otherwise the first start makes it.
    pub is_there: bool,
    /// What was found, in words.
    pub found: String,
    /// What may fail later, with what to do about it.
    pub warnings: Vec<String>,
    /// For a store in a file: the folder, which must be writable and have room.
    pub folder: Option<PathBuf>,
    /// How far the log has been read into it, by all processors.
    pub checkpoints: Vec<Checkpoint>,
}

/// Looks at the store that `url` names; creates and changes nothing.
///
/// # Errors
/// Those of [`crate::open`].
pub async fn check(url: &str) -> Result<StoreCheck> {
    let bad = |reason: String| LiveStoreError::BadUrl { url: without_credentials(url), reason };
    let rest = match url.split_once(':') {
        Some(("sqlite", rest)) => rest,
        Some(("mongodb" | "mongodb+srv", _)) => return mongo::look(url, &without_credentials(url)).await,
        _ => return Err(bad("there is no adapter of that name".to_owned())),
    };
    let url = FileUrl::parse(rest).map_err(bad)?;
    sqlite::look(&url.path).await
}
