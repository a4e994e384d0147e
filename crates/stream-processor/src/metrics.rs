//! What every processor counts, labelled with its name.

use std::sync::Arc;

use service_runtime::{Meter, Status};
use topics::names::figure;

/// Declared once; shown on `/system` and at `/metrics`.
pub(crate) struct Metrics {
    /// Events applied to the state.
    pub(crate) applied: Arc<Meter>,
    /// Events delivered again after a crash.
    pub(crate) redelivered: Arc<Meter>,
    /// Events that were published twice.
    pub(crate) duplicates: Arc<Meter>,
    /// Records that the log removed before they were read.
    pub(crate) expired: Arc<Meter>,
    /// Records that could not be decoded.
    pub(crate) dead_letters: Arc<Meter>,
}

impl Metrics {
    pub(crate) fn new(status: &Status, processor: &str) -> Self {
        let meter = |name| status.report(Arc::new(Meter::labelled(name, "processor", processor)));
        Self {
            applied: meter("tapedeck_events_applied_total"),
            redelivered: meter("tapedeck_events_redelivered_total"),
            duplicates: meter("tapedeck_events_duplicate_total"),
            expired: meter("tapedeck_records_expired_total"),
            dead_letters: meter(figure::DEAD_LETTERS),
        }
    }
}
