//! Candles as providers quote them: stored as they are.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use event_log::Message;
use live_store::LiveStore;
use market::{Candle, Interval};
use stream_processor::{Processor, ProcessorError};

use crate::metrics::Metrics;

/// The processor of quoted candles.
pub(crate) struct QuotedCandles {
    store: Arc<dyn LiveStore>,
    metrics: Arc<Metrics>,
}

impl QuotedCandles {
    pub(crate) fn new(store: Arc<dyn LiveStore>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }
}

#[async_trait]
impl Processor for QuotedCandles {
    const NAME: &'static str = "quoted-candles";
    type Event = Candle;
    type State = ();
    type Effect = Candle;

    fn decode(&self, message: &Message, _now: DateTime<Utc>) -> Result<Option<Candle>, String> {
        topics::quoted_candle::decode(&message.payload).map(Some).map_err(|error| error.to_string())
    }

    fn apply(&self, (): &mut (), candle: &Candle, _now: DateTime<Utc>, effects: &mut Vec<Candle>) {
        effects.push(*candle);
    }

    async fn emit(&self, candles: &[Candle]) -> Result<(), ProcessorError> {
        self.store.write_candles(candles).await?;
        // The batch compares daily candles with their rows by itself.
        let minutes = candles.iter().filter(|candle| candle.interval == Interval::Minute);
        let times = minutes.map(|candle| (candle.symbol, candle.time));
        live_store::mark_complete_days(&*self.store, times, Utc::now()).await?;
        self.metrics.provider_candles.add(candles.len() as u64);
        Ok(())
    }
}
