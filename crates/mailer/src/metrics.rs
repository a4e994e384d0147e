//! What the sender counts.

use std::sync::Arc;

use service_runtime::{Gauge, Meter, Status};

/// Declared once; shown on `/system` and at `/metrics`.
pub(crate) struct Metrics {
    /// Mails that a server took, or that are in the outbox.
    pub(crate) sent: Arc<Meter>,
    /// Mails that a server refused for ever, or that the settings forbid.
    pub(crate) refused: Arc<Meter>,
    /// Tries that failed and are repeated.
    pub(crate) retried: Arc<Meter>,
    /// Mails whose time was over.
    pub(crate) expired: Arc<Meter>,
    /// Mails of the store that are owed, of all services.
    pub(crate) owed: Arc<Gauge>,
}

impl Metrics {
    pub(crate) fn new(status: &Status) -> Self {
        let meter = |name| status.report(Arc::new(Meter::new(name)));
        Self {
            sent: meter("tapedeck_mails_sent_total"),
            refused: meter("tapedeck_mails_refused_total"),
            retried: meter("tapedeck_mails_retried_total"),
            expired: meter("tapedeck_mails_expired_total"),
            owed: status.report(Arc::new(Gauge::new("tapedeck_owed_mails"))),
        }
    }
}
