//! Alerts: one document for each episode, with the deliveries that are owed for it.

mod cursor;
pub(crate) mod mongo;
pub(crate) mod sqlite;

use alert_rules::{Alert, AlertId, Owner};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::Symbol;

use crate::Result;

/// The most alerts of one result, whatever its query asks for.
pub const MAX_PAGE_ALERTS: usize = 1_000;

/// An alert in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredAlert {
    /// The alert.
    pub alert: Alert,
    /// When it was stored; deliveries are due in this order.
    pub recorded_at: DateTime<Utc>,
    /// Counts its changes, from 1.
    pub version: u64,
}

/// Which alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertQuery {
    /// Of this symbol, or of all.
    pub symbol: Option<Symbol>,
    /// Of rules of these owners; of all owners if it is empty.
    pub owners: Vec<Owner>,
    /// Opened from this time on.
    pub from: DateTime<Utc>,
    /// Opened before this time.
    pub to: DateTime<Utc>,
    /// At most so many, from 1 to [`MAX_PAGE_ALERTS`]; what is outside counts as the nearer end.
    pub limit: usize,
    /// Behind the page that returned this.
    pub cursor: Option<String>,
}

/// A page of alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertPage {
    /// The newest first, by (opened, identity).
    pub alerts: Vec<StoredAlert>,
    /// For the next page; `None` at the end.
    pub next_cursor: Option<String>,
}

/// The store of alerts.
///
/// # Contract
/// - An alert has the identity of its episode; the first one that is stored stays, so that adding can be repeated.
/// - When a write has returned, what it wrote is there after `kill -9`, and so are the checkpoints that were saved before it.
/// - A change replaces the version that was read, or does nothing: alert and deliveries change in one atomic write.
#[async_trait]
pub trait AlertHistoryStore: Send + Sync {
    /// Adds alerts that are not there yet; for each, whether it is new.
    async fn add_alerts(&self, alerts: &[Alert], now: DateTime<Utc>) -> Result<Vec<bool>>;

    /// One alert.
    async fn alert(&self, id: &AlertId) -> Result<Option<StoredAlert>>;

    /// Replaces an alert, if its stored version is still that of `changed`. Whether it was.
    async fn replace_alert(&self, changed: &StoredAlert) -> Result<bool>;

    /// A page of alerts, the newest first.
    async fn alerts(&self, query: &AlertQuery) -> Result<AlertPage>;

    /// At most `limit` alerts with a delivery that is not finished, in the order in which they were stored.
    async fn pending_alerts(&self, limit: usize) -> Result<Vec<StoredAlert>>;

    /// At most `limit` alerts whose newest version is not marked as logged, in the order in which they were stored.
    async fn unlogged_alerts(&self, limit: usize) -> Result<Vec<StoredAlert>>;

    /// Marks a version as logged; a version that was replaced since stays unmarked.
    async fn mark_alert_logged(&self, id: &AlertId, version: u64) -> Result<()>;

    /// Removes alerts that were both opened and stored before `before` and whose newest version is marked as logged; returns how
    /// many.
    async fn prune_alerts(&self, before: DateTime<Utc>) -> Result<u64>;
}

/// How many alerts a query asks for, within bounds.
fn limit(query: &AlertQuery) -> usize {
    query.limit.clamp(1, MAX_PAGE_ALERTS)
}

/// A page of what was read: one more than `limit`, if there is more.
fn page(mut alerts: Vec<StoredAlert>, limit: usize) -> AlertPage {
    let has_more = alerts.len() > limit;
    alerts.truncate(limit);
    let next_cursor = alerts.last().filter(|_| has_more).map(|last| cursor::encode(&last.alert));
    AlertPage { alerts, next_cursor }
}
