//! What the alerts count.

use std::sync::Arc;

use service_runtime::{Meter, Status};

/// Declared once; shown on `/system` and at `/metrics`.
pub(crate) struct Metrics {
    /// Alerts that opened, each once.
    pub(crate) opened: Arc<Meter>,
    /// Alerts that closed, each once.
    pub(crate) closed: Arc<Meter>,
    /// Mails about alerts that became owed.
    pub(crate) mails: Arc<Meter>,
    /// Deliveries that are in no mail: above the limit a day, no valid address, or a person who does not receive them any more.
    pub(crate) suppressed: Arc<Meter>,
    /// Rows of `alert_log` that were new or changed.
    pub(crate) logged: Arc<Meter>,
}

impl Metrics {
    pub(crate) fn new(status: &Status) -> Self {
        let meter = |name| status.report(Arc::new(Meter::new(name)));
        Self {
            opened: meter("tapedeck_alerts_opened_total"),
            closed: meter("tapedeck_alerts_closed_total"),
            mails: meter("tapedeck_alert_mails_total"),
            suppressed: meter("tapedeck_alert_deliveries_suppressed_total"),
            logged: meter("tapedeck_alert_log_rows_total"),
        }
    }
}
