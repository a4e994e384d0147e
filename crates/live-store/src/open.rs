//! From a URL to an adapter.

use std::sync::Arc;

use connection_url::{is_scheme, without_credentials};
use sqlite_file::FileUrl;

use crate::{LiveStore, LiveStoreError, Migration, Result, mongo, sqlite};

/// Opens the store that `url` names, creating what is missing.
///
/// `sqlite:path` (also `sqlite://path`): a file, with its folders. `?max_mb=N` bounds the file to N MiB, beyond
/// which a write returns [`LiveStoreError::DiskFull`].
///
/// `mongodb://[user:password@]host[:port][,...][/database][?...]` and `mongodb+srv://...`: a database of MongoDB 7 or 8,
/// `stock_market` unless named. Without `authSource` the user is looked for in the database that the URL names. The
/// settings behind `?` are those of the driver, among them:
/// - `tls=true&tlsCAFile=/path/ca.pem`, for a client certificate `tlsCertificateKeyFile=/path/cert-and-key.pem`;
/// - `replicaSet`, `directConnection`, `maxPoolSize` (16), `appName` (tapedeck);
/// - `serverSelectionTimeoutMS` (5000), `connectTimeoutMS` (5000), `socketTimeoutMS` (30000, for a whole command);
/// - `w` (majority), `journal` (true), `wTimeoutMS` (10000): what a write waits for; `w=0` is refused.
///
/// Reads always go to the primary; `readPreference` has no effect.
///
/// # Errors
/// [`LiveStoreError::BadUrl`], [`LiveStoreError::NewerFormat`], and what else the place refuses.
pub async fn open(url: &str) -> Result<Arc<dyn LiveStore>> {
    open_and_log(url, false).await
}

/// Opens the store that `url` names as [`open`] does, for the only process that writes it, such as the one that holds the lock
/// of a data folder. An embedded store then keeps ticks and checkpoints in memory, for a minute at most while others come,
/// and writes many at once. Readers of this store have all of them; other processes those in the file. What is lost with the
/// process is in the event log behind the checkpoint, and is read again.
///
/// # Errors
/// Those of [`open`].
pub async fn open_alone(url: &str) -> Result<Arc<dyn LiveStore>> {
    open_and_log(url, true).await
}

async fn open_and_log(url: &str, is_alone: bool) -> Result<Arc<dyn LiveStore>> {
    let (store, Migration { place, done, refused }) = open_and_report(url, is_alone).await?;
    for change in done {
        tracing::debug!(store = place, change, "live store prepared");
    }
    if !refused.is_empty() {
        tracing::warn!(store = place, refused = refused.join("; "), "the store does without");
    }
    Ok(store)
}

/// Opens the store that `url` names as [`open`] does, and returns what that changed.
///
/// # Errors
/// Those of [`open`].
pub async fn migrate(url: &str) -> Result<Migration> {
    let (store, migration) = open_and_report(url, false).await?;
    store.close().await?;
    Ok(migration)
}

async fn open_and_report(url: &str, is_alone: bool) -> Result<(Arc<dyn LiveStore>, Migration)> {
    let bad =
        |reason: &str| LiveStoreError::BadUrl { url: without_credentials(url), reason: reason.to_owned() };
    match url.split_once(':') {
        Some(("sqlite", rest)) => {
            let url = FileUrl::parse(rest).map_err(|reason| bad(&reason))?;
            let (store, migration) = sqlite::SqliteStore::open(&url, is_alone).await?;
            Ok((Arc::new(store), migration))
        }
        Some(("mongodb" | "mongodb+srv", _)) => {
            let (store, migration) = mongo::MongoStore::open(url, &without_credentials(url)).await?;
            Ok((Arc::new(store), migration))
        }
        Some((scheme, _)) if is_scheme(scheme) => Err(bad(&format!("no adapter for `{scheme}:`"))),
        _ => Err(bad("the scheme is missing")),
    }
}
