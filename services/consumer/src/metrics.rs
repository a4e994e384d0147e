//! What the consumer counts and measures.

use std::sync::Arc;

use service_runtime::{Latency, Meter, Status};
use topics::names::figure;

/// Declared once; shown on `/system` and at `/metrics`.
pub(crate) struct Metrics {
    /// Ticks stored for the first time.
    pub(crate) stored: Arc<Meter>,
    /// Ticks too late for their candle; stored, but not in the candle.
    pub(crate) late: Arc<Meter>,
    /// Candles closed from ticks.
    pub(crate) candles_closed: Arc<Meter>,
    /// Candles taken from providers.
    pub(crate) provider_candles: Arc<Meter>,
    /// From `received_at` to the store's acknowledgement.
    pub(crate) feed_stored: Arc<Latency>,
}

impl Metrics {
    pub(crate) fn new(status: &Status) -> Self {
        let meter = |name| status.report(Arc::new(Meter::new(name)));
        Self {
            stored: meter(figure::TICKS_STORED),
            late: meter("tapedeck_ticks_late_total"),
            candles_closed: meter(figure::CANDLES_CLOSED),
            provider_candles: meter("tapedeck_candles_provider_total"),
            feed_stored: status.report(Arc::new(Latency::new(figure::FEED_STORED))),
        }
    }
}
