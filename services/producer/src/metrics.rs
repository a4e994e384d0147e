//! What a feed counts and measures; declared once, shown on `/system` and at `/metrics`.

use std::sync::Arc;

use service_runtime::{Latency, Meter, Status};
use topics::names::figure;

/// The figures of one feed.
#[derive(Clone)]
pub(crate) struct FeedMetrics {
    /// Ticks that arrived.
    pub(crate) received: Arc<Meter>,
    /// Ticks durable in the log.
    pub(crate) published: Arc<Meter>,
    /// Ticks given up because the log took no more.
    pub(crate) dropped: Arc<Meter>,
    /// Answers and frames that could not be used.
    pub(crate) errors: Arc<Meter>,
    /// Connections made anew.
    pub(crate) reconnects: Arc<Meter>,
    /// From `received_at` to durable in the log.
    pub(crate) latency: Arc<Latency>,
}

impl FeedMetrics {
    pub(crate) fn new(status: &Status, feed: &str, latency: &Arc<Latency>) -> Self {
        let meter = |name| status.report(Arc::new(Meter::labelled(name, "feed", feed)));
        Self {
            received: meter(figure::TICKS_RECEIVED),
            published: meter(figure::TICKS_PUBLISHED),
            dropped: meter(figure::TICKS_DROPPED),
            errors: meter("tapedeck_feed_errors_total"),
            reconnects: meter("tapedeck_feed_reconnects_total"),
            latency: Arc::clone(latency),
        }
    }
}
