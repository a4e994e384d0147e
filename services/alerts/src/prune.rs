//! The job that removes old alerts and what they were judged by.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::UTC;
use job_runner::{Job, MissedRuns, Schedule};
use live_store::LiveStore;

use crate::{baselines, sealed_mail};

/// Alerts, rule sets and the alerts of mails are kept so long.
const ALERT_DAYS: i64 = 365;
/// Baselines are kept so long: longer than the log keeps the ticks that are judged by them.
const BASELINE_DAYS: i64 = 30;
/// Longest time for one run; what is left is removed by the next.
const LIMIT_SECONDS: u64 = 600;

/// Removes what is past its retention.
pub(crate) struct PruneAlerts {
    schedule: Schedule,
    store: Arc<dyn LiveStore>,
}

impl PruneAlerts {
    pub(crate) fn new(store: Arc<dyn LiveStore>) -> anyhow::Result<Self> {
        Ok(Self { schedule: Schedule::parse("30 3 * * *", UTC).context("the schedule of pruning")?, store })
    }
}

#[async_trait]
impl Job for PruneAlerts {
    fn name(&self) -> &'static str {
        "prune alerts"
    }

    fn schedule(&self) -> Schedule {
        self.schedule.clone()
    }

    /// One run removes what several missed ones would have.
    fn missed_runs(&self) -> MissedRuns {
        MissedRuns::MakeUpNewest
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(LIMIT_SECONDS)
    }

    async fn run(&self, due: DateTime<Utc>) -> anyhow::Result<()> {
        let (old, older) = (due - TimeDelta::days(BASELINE_DAYS), due - TimeDelta::days(ALERT_DAYS));
        let failed = "cannot prune the alerts";
        let alerts = self.store.prune_alerts(older).await.context(failed)?;
        let mut facts = self.store.prune_alert_facts(baselines::PREFIX, old).await.context(failed)?;
        for prefix in [sealed_mail::PREFIX, "rules:"] {
            facts += self.store.prune_alert_facts(prefix, older).await.context(failed)?;
        }
        if alerts + facts > 0 {
            tracing::info!(alerts, facts, "pruned");
        }
        Ok(())
    }
}
