//! What alerts were judged by and grouped into: rule sets, baselines of volume, the alerts of each mail. Written once, so that what
//! is read again after a crash has the same result.

pub(crate) mod mongo;
pub(crate) mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::Result;

/// The store of facts: texts under an identity of which the first one stays.
#[async_trait]
pub trait AlertFactStore: Send + Sync {
    /// Stores a fact unless there is one of this identity, and returns the stored one. `now` is when it was first stored.
    async fn keep_alert_fact(&self, id: &str, body: &str, now: DateTime<Utc>) -> Result<String>;

    /// A fact.
    async fn alert_fact(&self, id: &str) -> Result<Option<String>>;

    /// Removes the facts whose identity begins with `prefix` that were stored before `before`; returns how many.
    async fn prune_alert_facts(&self, prefix: &str, before: DateTime<Utc>) -> Result<u64>;
}

/// The end of the range of texts that begin with a prefix of ASCII characters.
fn behind(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}
