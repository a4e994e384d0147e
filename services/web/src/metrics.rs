//! What the pages count and measure.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use metrics::{Gauge, gauge};
use service_runtime::{Latency, Meter, Status};

/// Declared once; shown on `/system` and at `/metrics`.
pub(crate) struct Metrics {
    /// From `received_at` to the frame that showed the price, as browsers measured it.
    pub(crate) feed_screen: Arc<Latency>,
    /// Records of the live topics that could not be read.
    pub(crate) unreadable: Arc<Meter>,
    /// Requests for events past the limit of live clients; each was answered with what changed, and ended.
    pub(crate) polls: Arc<Meter>,
    live_clients: AtomicUsize,
    max_live_clients: usize,
    exported_live_clients: Gauge,
}

impl Metrics {
    pub(crate) fn new(status: &Status, max_live_clients: usize) -> Arc<Self> {
        Arc::new(Self {
            feed_screen: status.report(Arc::new(Latency::new(topics::names::figure::FEED_SCREEN))),
            unreadable: status.report(Arc::new(Meter::new("tapedeck_web_unreadable_total"))),
            polls: status.report(Arc::new(Meter::new("tapedeck_sse_polls_total"))),
            live_clients: AtomicUsize::new(0),
            max_live_clients,
            exported_live_clients: gauge!("tapedeck_sse_connections"),
        })
    }

    /// Open event streams.
    pub(crate) fn live_clients(&self) -> usize {
        self.live_clients.load(Ordering::Relaxed)
    }

    /// Most open event streams.
    pub(crate) fn max_live_clients(&self) -> usize {
        self.max_live_clients
    }

    /// Counts one more event stream; `None` where there are as many as may be.
    pub(crate) fn connect(self: &Arc<Self>) -> Option<LiveClientGuard> {
        let connect = |open: usize| (open < self.max_live_clients).then_some(open + 1);
        self.live_clients.fetch_update(Ordering::Relaxed, Ordering::Relaxed, connect).ok()?;
        self.exported_live_clients.increment(1.0);
        Some(LiveClientGuard(Arc::clone(self)))
    }
}

/// An open event stream; dropping it ends the count.
pub(crate) struct LiveClientGuard(Arc<Metrics>);

impl Drop for LiveClientGuard {
    fn drop(&mut self) {
        self.0.live_clients.fetch_sub(1, Ordering::Relaxed);
        self.0.exported_live_clients.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_streams_are_bounded_and_no_longer_counted_when_they_end() {
        let metrics = Metrics::new(&Status::new("web", "test", chrono::Utc::now()), 2);
        let first = metrics.connect();
        let second = metrics.connect();
        assert!(first.is_some() && second.is_some());
        assert!(metrics.connect().is_none(), "the third of two");
        drop(first);
        assert_eq!(metrics.live_clients(), 1);
        assert!(metrics.connect().is_some());
    }
}
