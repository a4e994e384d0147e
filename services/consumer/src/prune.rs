//! The job that removes what is older than the retention.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::UTC;
use job_runner::{Job, MissedRuns, Schedule};
use live_store::LiveStore;

/// Mails are kept for so many days after they were created.
const MAIL_DAYS: i64 = 90;
/// Longest time for one run; what is left is removed by the next.
const LIMIT_SECONDS: u64 = 1_800;

/// Removes ticks and one-minute candles that both happened and were stored before the retention, and mails of more than 90 days.
pub(crate) struct Prune {
    schedule: Schedule,
    store: Arc<dyn LiveStore>,
    retention_days: u32,
}

impl Prune {
    pub(crate) fn new(store: Arc<dyn LiveStore>, retention_days: u32) -> anyhow::Result<Self> {
        let schedule = Schedule::parse("0 * * * *", UTC).context("the schedule of pruning")?;
        Ok(Self { schedule, store, retention_days })
    }
}

#[async_trait]
impl Job for Prune {
    fn name(&self) -> &'static str {
        "prune"
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
        let before = due - TimeDelta::days(i64::from(self.retention_days));
        let pruned = self.store.prune(before).await.context("cannot prune the live store")?;
        if pruned.ticks + pruned.candles > 0 {
            let retention_days = self.retention_days;
            tracing::info!(ticks = pruned.ticks, candles = pruned.candles, retention_days, "pruned");
        }
        let mails = self.store.prune_mails(due - TimeDelta::days(MAIL_DAYS)).await;
        let mails = mails.map_err(anyhow::Error::from_boxed).context("cannot prune the mails")?;
        if mails > 0 {
            tracing::info!(mails, "pruned");
        }
        Ok(())
    }
}
