//! What the batch measures.

use std::sync::Arc;

use analytics_store::{BatchRun, RunStatus};
use chrono::{DateTime, Utc};
use service_runtime::{Gauge, Status};
use topics::names::figure;

/// Declared once; shown on `/system` and at `/metrics`.
pub(crate) struct Metrics {
    pub(crate) finished: Arc<Gauge>,
    pub(crate) failed: Arc<Gauge>,
    pub(crate) rows: Arc<Gauge>,
    pub(crate) next: Arc<Gauge>,
    pub(crate) store_bytes: Arc<Gauge>,
    pub(crate) store_growth: Arc<Gauge>,
}

impl Metrics {
    pub(crate) fn new(status: &Status) -> Self {
        let gauge = |name| status.report(Arc::new(Gauge::new(name)));
        Self {
            finished: gauge(figure::BATCH_FINISHED),
            failed: gauge(figure::BATCH_FAILED),
            rows: gauge(figure::BATCH_ROWS),
            next: gauge(figure::BATCH_NEXT),
            store_bytes: gauge(figure::STORE_BYTES),
            store_growth: gauge(figure::STORE_GROWTH),
        }
    }

    /// Takes the newest run that has ended.
    pub(crate) fn take_run(&self, run: &BatchRun) {
        let Some(finished) = run.finished_at else { return };
        self.finished.set(finished.timestamp() as f64);
        self.failed.set(f64::from(u8::from(run.status == RunStatus::Failed)));
        self.rows.set(run.rows_written as f64);
    }

    /// Takes the time of the next run.
    pub(crate) fn take_next(&self, next: Option<DateTime<Utc>>) {
        self.next.set(next.map_or(0, |next| next.timestamp()) as f64);
    }
}
