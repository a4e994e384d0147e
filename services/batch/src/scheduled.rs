//! The batch as a part of a process: the night by its schedule, and the retention.

use std::{sync::Arc, time::Duration};

use analytics_store::{AnalyticsStore, BatchRun, RowQuery};
use anyhow::Context;
use chrono::Utc;
use chrono_tz::UTC;
use job_runner::{JobRunner, Schedule};
use live_store::LiveStore;
use service_runtime::{Component, ProcessRuntime};
use tokio_util::sync::CancellationToken;
use topics::names::component;

use crate::{
    BatchConfig,
    job::NightJob,
    metrics::Metrics,
    night::Night,
    retention::{Found, Retention, RetentionJob},
};

/// Between two tries to open the analytics store.
const REOPEN: Duration = Duration::from_secs(10);

/// Runs by the schedule until the shutdown. An analytics store that cannot be opened is reported, and tried again without end: the
/// other parts of the process go on, and nothing is removed from the live store.
///
/// # Errors
/// A schedule that is no cron syntax.
pub async fn run<F>(
    config: BatchConfig,
    store: Arc<dyn LiveStore>,
    open: impl Fn() -> F,
    process: ProcessRuntime,
) -> anyhow::Result<()>
where
    F: Future<Output = analytics_store::Result<AnalyticsStore>>,
{
    config.schedule()?;
    let ProcessRuntime { status, shutdown } = process;
    let health = [component::BATCH, component::RETENTION].map(|name| status.secondary_component(name));
    let metrics = Arc::new(Metrics::new(&status));
    let Some(analytics) = open_without_end(open, &health, &shutdown).await else { return Ok(()) };
    let analytics = Arc::new(analytics);
    let [of_night, of_retention] = health;

    let schedule = config.schedule()?;
    let night = Night {
        store: Arc::clone(&store),
        analytics: Arc::clone(&analytics),
        shutdown: shutdown.clone(),
        metrics: Some(Arc::clone(&metrics)),
    };
    show_last_run(&analytics, &metrics).await;
    let of_schedule = Arc::clone(&metrics);
    let night =
        JobRunner::new(NightJob::scheduled(&config, night)?, Arc::clone(&store) as _, status.instance())
            .reporting(move |state| {
                of_schedule.take_next(schedule.next(Utc::now()));
                of_night.set_state(state);
            });

    let found = Arc::new(Found::default());
    let job = RetentionJob {
        retention: Retention {
            store: Arc::clone(&store),
            analytics: Arc::clone(&analytics),
            settings: config.retention,
            shutdown: shutdown.clone(),
        },
        schedule: Schedule::parse("30 * * * *", UTC).context("the schedule of the retention")?,
        metrics,
        found: Arc::clone(&found),
    };
    let retention = JobRunner::new(job, store as _, status.instance())
        .reporting(move |state| found.report(&of_retention, state));

    tokio::join!(night.run(shutdown.clone()), retention.run(shutdown));
    analytics.close().await.context("the analytics store was not closed in order")
}

/// `None` at the shutdown.
async fn open_without_end<F>(
    open: impl Fn() -> F,
    health: &[Component],
    shutdown: &CancellationToken,
) -> Option<AnalyticsStore>
where
    F: Future<Output = analytics_store::Result<AnalyticsStore>>,
{
    loop {
        match open().await {
            Ok(analytics) => return Some(analytics),
            Err(error) => {
                let seconds = REOPEN.as_secs();
                let reason =
                    format!("nothing is aggregated or removed: {error}; trying again in {seconds} s");
                for part in health {
                    part.down(&reason);
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(REOPEN) => {}
        }
    }
}

/// A run of before this start, maybe of another process.
async fn show_last_run(analytics: &AnalyticsStore, metrics: &Metrics) {
    match analytics.rows::<BatchRun>(&RowQuery::newest(None, 10)).await {
        Ok(runs) => {
            for run in &runs {
                metrics.take_run(run);
            }
        }
        Err(error) => tracing::warn!(%error, "the last runs of the batch cannot be shown"),
    }
}
