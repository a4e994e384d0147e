//! A look at a store without changing it.

use std::path::{Path, PathBuf};

use crate::{
    Checkpoint, LiveStoreError, Result, mongo,
    open::{max_bytes, without_credentials},
    sqlite,
};

/// What is found at a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCheck {
    /// Where it is, without credentials.
    pub place: String,
    /// Whether there is one; otherwise the first start makes it.
    pub is_there: bool,
    /// What was found, in words.
    pub found: String,
    /// What may give trouble, in words that say what to do.
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
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if path.is_empty() || path.starts_with(":memory:") {
        return Err(bad("it needs the path of a file".to_owned()));
    }
    max_bytes(parameters).map_err(bad)?;
    sqlite::look(Path::new(path)).await
}
