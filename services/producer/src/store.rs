//! The live store of a producer that is a process of its own: for circuits of feeds, gaps, and the calls of keys.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use live_store::{LiveStore, LiveStoreError};
use service_runtime::{ExposeSecret, SecretString, open_patiently};

use crate::{auto::Choice, config::LedgerSettings};

/// Without a feed that needs it, a store that is away is waited for so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the store if one is set, runs `work` with it, and closes it. Where no chosen feed needs it, a store that is away does not keep
/// prices waiting.
///
/// # Errors
/// A feed that needs a store where none is set, a store that refuses, and what `work` returns.
pub async fn with_store<F>(
    settings: &LedgerSettings,
    choice: &Choice,
    work: impl FnOnce(Option<Arc<dyn LiveStore>>) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let Some(url) = &settings.store_url else {
        if choice.needs_ledger() {
            bail!(
                "the feed counts the calls of its key in the live store, and none is set; set --store (STORE_URL)"
            );
        }
        return work(None).await;
    };
    let url = settings.password.fill(url)?;
    let Some(store) = open(&url, choice.needs_ledger()).await? else { return work(None).await };
    let done = work(Some(Arc::clone(&store))).await;
    done.and(store.close().await.context("the live store was not closed in order"))
}

async fn open(url: &SecretString, is_needed: bool) -> anyhow::Result<Option<Arc<dyn LiveStore>>> {
    let open = || live_store::open(url.expose_secret());
    let opening = open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open);
    if is_needed {
        return opening.await.map(Some);
    }
    match tokio::time::timeout(PATIENCE, opening).await {
        Ok(opened) => opened.map(Some),
        Err(_) => {
            tracing::warn!("the live store is away: gaps and circuits are not recorded until the next start");
            Ok(None)
        }
    }
}
