//! The live store of a producer that is a process of its own: opened only where a feed counts the calls of its key there.

use std::sync::Arc;

use anyhow::Context;
use live_store::{KeyCallStore, LiveStoreError};
use service_runtime::{ExposeSecret, open_patiently};

use crate::{auto::Choice, config::LedgerSettings};

/// Opens the store if a chosen feed needs it, runs `work` with it, and closes it.
///
/// # Errors
/// A feed that needs a store where none is set, a store that cannot be opened, and what `work` returns.
pub async fn with_ledger<F>(
    settings: &LedgerSettings,
    choice: &Choice,
    work: impl FnOnce(Option<Arc<dyn KeyCallStore>>) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    if !choice.needs_ledger() {
        return work(None).await;
    }
    let url = settings.store_url.as_ref().context(
        "the feed counts the calls of its key in the live store, and none is set; set --store (STORE_URL)",
    )?;
    let url = settings.password.fill(url)?;
    let open = || live_store::open(url.expose_secret());
    let store =
        open_patiently("live store", "--store, STORE_URL", LiveStoreError::is_transient, open).await?;
    let done = work(Some(Arc::clone(&store) as _)).await;
    done.and(store.close().await.context("the live store was not closed in order"))
}
