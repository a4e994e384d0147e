//! A run as a job: one process runs it at a time, on any host.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use analytics_store::BatchRun;
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use job_runner::{Job, JobRunner, MissedRuns, Schedule};
use market::{AssetClass, Symbol, day_bounds, day_complete_at};

use crate::{
    BatchConfig, Outcome,
    night::{Night, Report, Request},
    report,
};

/// A run by the schedule waits so long at most for days that are about to be complete.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(10);

/// Runs once, now.
///
/// # Errors
/// A store that is unavailable, and another run at the same time.
pub(crate) async fn run_once(
    request: Request,
    only: Option<Symbol>,
    is_dry: bool,
    night: Night,
    owner: &str,
) -> anyhow::Result<Outcome> {
    let reported = Arc::new(Mutex::new(Report::default()));
    let store = Arc::clone(&night.store);
    let job = NightJob {
        night,
        request,
        only,
        is_dry,
        schedule: never()?,
        waits: false,
        report: Arc::clone(&reported),
    };
    JobRunner::new(job, store as _, owner).run_once(Utc::now()).await?;
    let report = std::mem::take(&mut *reported.lock().unwrap_or_else(PoisonError::into_inner));
    let is_complete = report.failed.is_empty() && (report.not_ended.is_empty() || !report.rows.is_empty());
    Ok(Outcome { text: report::of_run(&report, is_dry), is_complete })
}

/// The schedule of a job that is only run by hand.
fn never() -> anyhow::Result<Schedule> {
    Ok(Schedule::parse("0 0 1 1 *", chrono_tz::UTC)?)
}

/// A night that begins with the end of a day waits until the day is complete.
async fn wait_for_days_that_end(due: DateTime<Utc>) {
    let complete = [AssetClass::Crypto, AssetClass::Stock].into_iter().flat_map(|class| {
        let today = day_bounds(class, due).date;
        [Some(today), today.pred_opt()].into_iter().flatten().map(move |date| day_complete_at(class, date))
    });
    let latest = complete.filter(|complete| (due..=due + LONGEST_WAIT).contains(complete)).max();
    if let Some(Ok(wait)) = latest.map(|latest| (latest - Utc::now()).to_std()) {
        tokio::time::sleep(wait).await;
    }
}

/// The job of a night.
pub(crate) struct NightJob {
    night: Night,
    request: Request,
    only: Option<Symbol>,
    is_dry: bool,
    schedule: Schedule,
    /// A run by the schedule waits until the days that ended with it can be aggregated.
    waits: bool,
    report: Arc<Mutex<Report>>,
}

impl NightJob {
    /// The job that runs by the schedule of the settings.
    pub(crate) fn scheduled(config: &BatchConfig, night: Night) -> anyhow::Result<Self> {
        let (schedule, report) = (config.schedule()?, Arc::default());
        Ok(Self { night, request: Request::Due, only: None, is_dry: false, schedule, waits: true, report })
    }
}

#[async_trait]
impl Job for NightJob {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn schedule(&self) -> Schedule {
        self.schedule.clone()
    }

    /// One run makes up all days that are missing.
    fn missed_runs(&self) -> MissedRuns {
        MissedRuns::MakeUpNewest
    }

    fn limit(&self) -> Duration {
        BatchRun::LONGEST
    }

    async fn run(&self, due: DateTime<Utc>) -> anyhow::Result<()> {
        if self.waits {
            wait_for_days_that_end(due).await;
        }
        let report = self.night.run(self.request, self.only, self.is_dry, Utc::now()).await?;
        let failed = report.failed.len();
        tracing::info!(
            days = report.rows.len(),
            ticks = report.ticks_read,
            rows = report.rows_written,
            failed,
            "the batch has run"
        );
        *self.report.lock().unwrap_or_else(PoisonError::into_inner) = report;
        Ok(())
    }
}
