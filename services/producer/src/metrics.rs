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
    /// Ticks dropped because the log's buffer was full.
    pub(crate) dropped: Arc<Meter>,
    /// Ticks of symbols that another feed serves.
    pub(crate) passed_over: Arc<Meter>,
    /// Ticks whose price was too far from the last one.
    pub(crate) refused: Arc<Meter>,
    /// Gaps that were detected, and those whose minutes were filled from history.
    pub(crate) gaps_detected: Arc<Meter>,
    pub(crate) gaps_repaired: Arc<Meter>,
    /// Answers and frames that could not be used.
    pub(crate) errors: Arc<Meter>,
    /// Connections made again.
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
            passed_over: meter("tapedeck_ticks_passed_over_total"),
            refused: meter("tapedeck_ticks_refused_total"),
            gaps_detected: meter("tapedeck_gaps_detected_total"),
            gaps_repaired: meter("tapedeck_gaps_repaired_total"),
            errors: meter("tapedeck_feed_errors_total"),
            reconnects: meter("tapedeck_feed_reconnects_total"),
            latency: Arc::clone(latency),
        }
    }
}
