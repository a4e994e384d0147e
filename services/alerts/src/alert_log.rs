//! Copies what became of deliveries to `alert_log` of the analytics store, for readers outside.
//!
//! The finished deliveries of an alert are stored under (alert, recipient), then the version of the alert that was read is marked as
//! logged. After a crash in between the same rows are stored again. A delivery that ends later makes a new version, which is not
//! marked, so that its row follows.
//!
//! Alerts of recordings and of invented prices are rows like the others, as the days of a recording are rows of `daily_aggregates`;
//! `message` begins with the mark of what they are.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alert_rules::{Alert, DeliveryState, RuleKind};
use analytics_store::{AlertLogRow, AlertLogStatus, AnalyticsError, AnalyticsStore, Changes};
use anyhow::{Context, anyhow};
use chrono::{NaiveDate, Utc};
use live_store::{LiveStore, StoredAlert};
use market::decimal_from_f64;
use rust_decimal::Decimal;
use service_runtime::{Component, ExposeSecret, Runtime, SecretString};
use tokio_util::sync::CancellationToken;

use crate::{lease::Lease, metrics::Metrics};

/// Between two looks for what is not logged.
const INTERVAL_MS: u64 = 1_000;
/// After a round that failed; doubled with each further one, up to the maximum.
const RETRY_INTERVAL_MS: u64 = 1_000;
const MAX_RETRY_INTERVAL_MS: u64 = 60_000;
/// Longest time for one round, in which a server may not respond.
const ROUND_TIMEOUT_MS: u64 = 30_000;
/// One process at a time writes.
const LEASE: &str = "alert log";
/// Alerts of one round.
const MAX_ALERTS: usize = 200;
/// Decimal places of prices and volumes in the table; what has more would differ from its row for ever.
const DECIMAL_PLACES: u32 = 8;

/// The loop.
pub(crate) struct AlertLog {
    store: Arc<dyn LiveStore>,
    url: SecretString,
    /// Open since the first round that succeeded, until one fails.
    analytics: Option<Arc<AnalyticsStore>>,
    lease: Lease,
    health: Component,
    metrics: Arc<Metrics>,
}

/// What a round left.
enum Left {
    /// All is logged, or another process does it.
    Nothing(&'static str),
    /// There may be more.
    More,
}

impl AlertLog {
    /// `url` is that of the analytics store, with its password.
    pub(crate) fn new(
        url: SecretString,
        store: Arc<dyn LiveStore>,
        runtime: &Runtime,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            lease: Lease::new(Arc::clone(&store), LEASE, runtime.status.instance()),
            store,
            url,
            analytics: None,
            // Alerts are found and mailed without it.
            health: runtime.status.secondary_component("alert log"),
            metrics,
        }
    }

    /// Runs until the shutdown. What is not logged then is logged by the next process.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let interval = Duration::from_millis(INTERVAL_MS);
        let mut wait = Duration::ZERO;
        let mut retry = Duration::from_millis(RETRY_INTERVAL_MS);
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => break,
            }
            let round = tokio::time::timeout(Duration::from_millis(ROUND_TIMEOUT_MS), self.round());
            let round = tokio::select! {
                round = round => round.unwrap_or_else(|_| Err(anyhow!("no response within {ROUND_TIMEOUT_MS} ms"))),
                () = shutdown.cancelled() => break,
            };
            match round {
                Ok(left) => {
                    retry = Duration::from_millis(RETRY_INTERVAL_MS);
                    self.health.up(match left {
                        Left::Nothing(detail) => detail,
                        Left::More => "writes what was not logged",
                    });
                    wait = if matches!(left, Left::More) { Duration::ZERO } else { interval };
                }
                Err(error) => {
                    // Opened again: the server or the file may be another one then.
                    self.analytics = None;
                    let seconds = retry.as_secs();
                    self.health
                        .down(&format!("{error:#}; what is not logged is kept; trying again in {seconds} s"));
                    wait = retry;
                    retry = (retry * 2).min(Duration::from_millis(MAX_RETRY_INTERVAL_MS));
                }
            }
        }
        self.lease.release().await;
        match self.analytics {
            Some(analytics) => analytics.close().await.context("the analytics store was not closed in order"),
            None => Ok(()),
        }
    }

    async fn round(&mut self) -> anyhow::Result<Left> {
        if !self.lease.hold(Utc::now()).await? {
            return Ok(Left::Nothing("another process writes the log of alerts"));
        }
        // Also where there is nothing to write: that the store is away shows before it is needed.
        let analytics = match &self.analytics {
            Some(analytics) => Arc::clone(analytics),
            None => {
                let opened = analytics_store::open(self.url.expose_secret()).await;
                let opened = Arc::new(opened.context("cannot open the analytics store")?);
                Arc::clone(self.analytics.insert(opened))
            }
        };
        let alerts = self.store.unlogged_alerts(MAX_ALERTS).await.context("cannot read the alerts")?;
        if alerts.is_empty() {
            return Ok(Left::Nothing("all alerts are logged"));
        }
        let refusal = match write(&analytics, &alerts).await {
            Ok(rows) => {
                self.metrics.logged.add(rows);
                self.mark(&alerts).await?;
                None
            }
            Err(error) if error.is_transient() => return Err(error.into()),
            // Alerts that can be stored are not held back by one that cannot.
            Err(_) => self.log_one_by_one(&analytics, &alerts).await?,
        };
        match refusal {
            Some(refusal) => Err(refusal),
            None if alerts.len() == MAX_ALERTS => Ok(Left::More),
            None => Ok(Left::Nothing("all alerts are logged")),
        }
    }

    /// Logs each of the alerts that the store does not refuse. Returns the first refusal.
    async fn log_one_by_one(
        &self,
        analytics: &AnalyticsStore,
        alerts: &[StoredAlert],
    ) -> anyhow::Result<Option<anyhow::Error>> {
        let mut refusal = None;
        for stored in alerts.chunks(1) {
            match write(analytics, stored).await {
                Ok(rows) => {
                    self.metrics.logged.add(rows);
                    self.mark(stored).await?;
                }
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => {
                    let of = stored.first().map(|stored| stored.alert.id.to_string()).unwrap_or_default();
                    refusal.get_or_insert(anyhow::Error::from(error).context(format!("the alert {of}")));
                }
            }
        }
        Ok(refusal)
    }

    /// A version that was replaced since it was read stays unmarked.
    async fn mark(&self, alerts: &[StoredAlert]) -> anyhow::Result<()> {
        for StoredAlert { alert, version, .. } in alerts {
            let marked = self.store.mark_alert_logged(&alert.id, *version).await;
            marked.context("cannot mark an alert as logged")?;
        }
        Ok(())
    }
}

/// Stores the rows of alerts; returns how many were new or differed. By day, because the store reads the rows of the days of a
/// write.
async fn write(analytics: &AnalyticsStore, alerts: &[StoredAlert]) -> Result<u64, AnalyticsError> {
    let mut by_day: BTreeMap<NaiveDate, Vec<AlertLogRow>> = BTreeMap::new();
    for row in alerts.iter().flat_map(|stored| rows(&stored.alert)) {
        by_day.entry(row.triggered_at.date_naive()).or_default().push(row);
    }
    let mut stored = 0;
    for rows in by_day.values() {
        stored += analytics.store(Changes::default().with(rows)).await?;
    }
    Ok(stored)
}

/// One row for each delivery that has ended.
fn rows(alert: &Alert) -> impl Iterator<Item = AlertLogRow> {
    alert.deliveries.iter().filter_map(|delivery| {
        let (status, sent_at) = match &delivery.state {
            DeliveryState::Owed | DeliveryState::InMail { .. } => return None,
            DeliveryState::Sent { at, .. } => (AlertLogStatus::Sent, Some(*at)),
            DeliveryState::Refused { .. } => (AlertLogStatus::Refused, None),
            DeliveryState::Expired { .. } => (AlertLogStatus::Expired, None),
            DeliveryState::Suppressed { .. } => (AlertLogStatus::Suppressed, None),
        };
        // That of invented prices is in the message already.
        let mark = if alert.is_recorded { "RECORDING: " } else { "" };
        let reason = delivery.state.reason().map(|reason| format!("; not sent: {reason}"));
        Some(AlertLogRow {
            alert_id: alert.id.to_string(),
            symbol: alert.symbol,
            kind: alert.kind.name().to_owned(),
            price: decimal(alert.tick.price),
            change_pct: matches!(alert.kind, RuleKind::ChangeFromOpen { .. }).then_some(alert.measure),
            volume: alert.candle_volume.map(decimal),
            threshold: alert.kind.threshold(),
            recipient: delivery.recipient.clone(),
            status,
            message: format!("{mark}{}{}", alert.message, reason.unwrap_or_default()),
            triggered_at: alert.opened_at,
            sent_at,
        })
    })
}

/// Zero for what is no decimal; prices and volumes of ticks are.
fn decimal(number: f64) -> Decimal {
    decimal_from_f64(number).unwrap_or_default().round_dp(DECIMAL_PLACES)
}
