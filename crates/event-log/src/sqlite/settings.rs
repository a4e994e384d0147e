//! The part of the URL behind `sqlite:`.

use std::path::PathBuf;

use crate::{EventLogError, Result, error::without_credentials};

/// Where the log lies and how large it may grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The database file.
    pub(crate) path: PathBuf,
    /// `max_bytes`: the file grows no larger, as if the disk ended there; unbounded where it is not given.
    pub(crate) max_bytes: Option<u64>,
}

/// Reads `path/to/log.db` or `path/to/log.db?max_bytes=N`; `//` in front of an absolute path may stand, as other
/// SQLite URLs have it.
pub(crate) fn parse(rest: &str) -> Result<Settings> {
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
    let mut settings = Settings { path: PathBuf::from(path), max_bytes: None };
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
