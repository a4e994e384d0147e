//! The alerts of a digest.

use anyhow::Context;
use chrono::{DateTime, Utc};
use live_store::{AlertQuery, LiveStore};
use market::Symbol;

use super::DigestReader;

/// Most alerts of a digest.
const MAX_ALERTS: usize = 20;

/// One alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlertLine {
    pub(crate) symbol: Symbol,
    /// What happened, and when.
    pub(crate) text: String,
}

/// The newest alerts of the rules of a reader that opened between two times.
pub(super) async fn alerts_of(
    store: &dyn LiveStore,
    reader: &DigestReader,
    symbols: &[Symbol],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> anyhow::Result<Vec<AlertLine>> {
    let owners = vec![reader.owner.clone()];
    let query = AlertQuery { symbol: None, owners, from, to, limit: MAX_ALERTS, cursor: None };
    let page = store.alerts(&query).await.context("cannot read the alerts")?;
    let alerts = page.alerts.into_iter().map(|stored| stored.alert);
    let line = |alert: alert_rules::Alert| {
        let time = alert.opened_at.with_timezone(&reader.zone).format("%a %H:%M");
        let origin = match (alert.is_simulated, alert.is_recorded) {
            (true, _) => " (SIMULATED)",
            (false, true) => " (from a recording)",
            (false, false) => "",
        };
        AlertLine { symbol: alert.symbol, text: format!("{} · {time}{origin}", alert.message) }
    };
    Ok(alerts.filter(|alert| symbols.contains(&alert.symbol)).map(line).collect())
}
