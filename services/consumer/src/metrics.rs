//! What the consumer counts and measures.

use std::sync::Arc;

use service_runtime::{Latency, Meter, Status};

/// Declared once; shown on `/system` and at `/metrics`.
pub(crate) struct Metrics {
    /// Ticks stored for the first time.
    pub(crate) stored: Arc<Meter>,
    /// Ticks delivered again after a crash; already in the store.
    pub(crate) redelivered: Arc<Meter>,
    /// Ticks that the producer published twice.
    pub(crate) duplicates: Arc<Meter>,
    /// Ticks too late for their candle; stored, but not in the bar.
    pub(crate) late: Arc<Meter>,
    /// Messages that the log removed before they were read here.
    pub(crate) expired: Arc<Meter>,
    /// Messages that could not be read.
    pub(crate) dead_letters: Arc<Meter>,
    /// Bars closed from ticks.
    pub(crate) candles_closed: Arc<Meter>,
    /// Bars taken from providers.
    pub(crate) provider_candles: Arc<Meter>,
    /// Writes tried again because the store was away.
    pub(crate) store_retries: Arc<Meter>,
    /// From `received_at` to the store's acknowledgement.
    pub(crate) feed_stored: Arc<Latency>,
}

impl Metrics {
    pub(crate) fn new(status: &Status) -> Self {
        let meter = |name| status.report(Arc::new(Meter::new(name)));
        Self {
            stored: meter("tapedeck_ticks_stored_total"),
            redelivered: meter("tapedeck_ticks_redelivered_total"),
            duplicates: meter("tapedeck_ticks_duplicate_total"),
            late: meter("tapedeck_ticks_late_total"),
            expired: meter("tapedeck_records_expired_total"),
            dead_letters: meter("tapedeck_dead_letters_total"),
            candles_closed: meter("tapedeck_candles_closed_total"),
            provider_candles: meter("tapedeck_candles_provider_total"),
            store_retries: meter("tapedeck_store_retries_total"),
            feed_stored: status.report(Arc::new(Latency::new("tapedeck_feed_stored_seconds"))),
        }
    }
}
