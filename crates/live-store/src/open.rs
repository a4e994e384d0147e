//! From a URL to an adapter.

use std::{path::Path, sync::Arc};

use crate::{LiveStore, LiveStoreError, Result, mongo, sqlite};

/// Opens the store that `url` names, creating what is missing.
///
/// `sqlite:path` (also `sqlite://path`): a file, with its folders. `?max_mb=N` bounds the file to N MiB, beyond
/// which a write answers [`LiveStoreError::DiskFull`].
///
/// # Errors
/// [`LiveStoreError::BadUrl`], [`LiveStoreError::NewerFormat`], and what else the place refuses.
pub async fn open(url: &str) -> Result<Arc<dyn LiveStore>> {
    let bad =
        |reason: &str| LiveStoreError::BadUrl { url: without_credentials(url), reason: reason.to_owned() };
    match url.split_once(':') {
        Some(("sqlite", rest)) => {
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
            if path.is_empty() {
                return Err(bad("the path is missing"));
            }
            if path.starts_with(":memory:") {
                return Err(bad("a store in memory keeps nothing"));
            }
            let max_bytes = max_bytes(parameters).map_err(|reason| bad(&reason))?;
            Ok(Arc::new(sqlite::SqliteStore::open(Path::new(path), max_bytes).await?))
        }
        Some(("mongodb" | "mongodb+srv", _)) => {
            Ok(Arc::new(mongo::MongoStore::open(url, &without_credentials(url)).await?))
        }
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+') => {
            Err(bad(&format!("no adapter for `{scheme}:`")))
        }
        _ => Err(bad("the scheme is missing")),
    }
}

/// `max_mb=N`, or nothing.
fn max_bytes(parameters: &str) -> Result<Option<u64>, String> {
    if parameters.is_empty() {
        return Ok(None);
    }
    let megabytes = parameters
        .strip_prefix("max_mb=")
        .ok_or_else(|| "the only parameter is max_mb".to_owned())?
        .parse::<u64>()
        .ok()
        .filter(|megabytes| (1..=1 << 20).contains(megabytes))
        .ok_or_else(|| format!("max_mb must be a whole number from 1 to {}", 1 << 20))?;
    Ok(Some(megabytes << 20))
}

/// For messages: what stands before the last `@`, and every parameter, is left out.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // Whatever this is: nothing before an `@` belongs in a message.
        return url.rsplit('@').next().unwrap_or_default().escape_debug().to_string();
    };
    let place = rest.rsplit('@').next().unwrap_or_default();
    let place = place.split('?').next().unwrap_or_default();
    format!("{}://{}", scheme.escape_debug(), place.escape_debug())
}
