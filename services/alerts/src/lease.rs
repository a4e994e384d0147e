//! What one process at a time does, of all that run the service.

use std::sync::Arc;

use anyhow::anyhow;
use chrono::{DateTime, TimeDelta, Utc};
use live_store::LiveStore;

/// How long a lease is, and how long before its end it is renewed.
const LEASE_SECONDS: i64 = 30;
const RENEW_SECONDS: i64 = 20;

/// The lease of one piece of work.
pub(crate) struct Lease {
    store: Arc<dyn LiveStore>,
    /// In the store.
    name: &'static str,
    owner: String,
    held_until: Option<DateTime<Utc>>,
}

impl Lease {
    pub(crate) fn new(store: Arc<dyn LiveStore>, name: &'static str, owner: &str) -> Self {
        Self { store, name, owner: owner.to_owned(), held_until: None }
    }

    /// Acquires or renews it. Whether this process has it.
    pub(crate) async fn hold(&mut self, now: DateTime<Utc>) -> anyhow::Result<bool> {
        let is_fresh = |until: DateTime<Utc>| {
            let left = until - now;
            left > TimeDelta::seconds(RENEW_SECONDS) && left <= TimeDelta::seconds(LEASE_SECONDS)
        };
        if self.held_until.is_some_and(is_fresh) {
            return Ok(true);
        }
        let until = now + TimeDelta::seconds(LEASE_SECONDS);
        let acquired = self.store.acquire(self.name, &self.owner, now, until).await;
        let is_held =
            acquired.map_err(|error| anyhow!("cannot acquire the lease `{}`: {error}", self.name))?;
        self.held_until = is_held.then_some(until);
        Ok(is_held)
    }

    /// Ends it, so that another process need not wait until it expires.
    pub(crate) async fn release(self) {
        if self.held_until.is_none() {
            return;
        }
        if let Err(error) = self.store.release(self.name, &self.owner, None).await {
            tracing::debug!(error, lease = self.name, "the lease was not released; it expires");
        }
    }
}
