//! Parses the part of the URL after `sqlite:`.

use std::path::PathBuf;

use crate::{EventLogError, Result, error::without_credentials};

/// Path and size limit of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileSettings {
    /// The database file.
    pub(crate) path: PathBuf,
    /// Limit of the file's size in bytes, with the same effect as a full disk; no limit without it.
    pub(crate) max_bytes: Option<u64>,
}

/// Parses `path/to/log.db` or `path/to/log.db?max_bytes=N`. `//` before an absolute path is accepted, as in other SQLite
/// URLs.
pub(crate) fn parse(rest: &str) -> Result<FileSettings> {
    let bad = |reason: &str| EventLogError::BadUrl {
        url: without_credentials(&format!("sqlite:{rest}")),
        reason: reason.to_owned(),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(bad("no path"));
    }
    if path == ":memory:" {
        return Err(bad("an event log in memory would not be durable"));
    }
    let mut settings = FileSettings { path: PathBuf::from(path), max_bytes: None };
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "max_bytes" => {
                let bytes = value.parse().map_err(|_| bad("max_bytes is not a number"))?;
                settings.max_bytes = Some(bytes);
            }
            _ => return Err(bad(&format!("unknown setting `{key}`"))),
        }
    }
    Ok(settings)
}
