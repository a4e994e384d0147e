//! What the news count.

use std::sync::Arc;

use service_runtime::{Meter, Status};

/// Declared once; shown on `/system` and at `/metrics`.
pub(crate) struct Metrics {
    /// Fetches of sources that succeeded, with or without something new.
    pub(crate) fetched: Arc<Meter>,
    /// Fetches of sources that failed.
    pub(crate) failed: Arc<Meter>,
    /// New stories.
    pub(crate) stories: Arc<Meter>,
    /// Items that are the same story at another outlet.
    pub(crate) duplicates: Arc<Meter>,
    /// Items that were not taken: without title or link, too old, too many, or about no watched symbol.
    pub(crate) skipped: Arc<Meter>,
}

impl Metrics {
    pub(crate) fn new(status: &Status) -> Self {
        let meter = |name| status.report(Arc::new(Meter::new(name)));
        Self {
            fetched: meter("tapedeck_news_fetched_total"),
            failed: meter("tapedeck_news_fetches_failed_total"),
            stories: meter("tapedeck_news_stories_total"),
            duplicates: meter("tapedeck_news_duplicates_total"),
            skipped: meter("tapedeck_news_skipped_total"),
        }
    }
}
