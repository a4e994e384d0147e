//! Ticks: stored under their identity, then counted in their candles.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, Message, NewRecord, Publisher};
use live_store::{LiveStore, StoredTick, TickOutcome};
use market::{Applied, Candle, Interval};
use stream_processor::{OtherPartitions, Processor, ProcessorError, Verdict};

use crate::{candle_state::CandleState, metrics::Metrics};

/// A clock that is ahead is logged at most so often.
const SKEW_LOG_INTERVAL_SECONDS: u64 = 600;

/// The processor of ticks.
pub(crate) struct Ticks {
    store: Arc<dyn LiveStore>,
    publisher: Arc<dyn Publisher>,
    metrics: Arc<Metrics>,
    /// When a clock that is ahead was last logged.
    skew_logged: Mutex<Option<Instant>>,
}

impl Ticks {
    pub(crate) fn new(
        store: Arc<dyn LiveStore>,
        log: &dyn EventLog,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        let publisher = log.publisher().context("cannot publish candles")?;
        Ok(Self { store, publisher, metrics, skew_logged: Mutex::default() })
    }

    fn measure(&self, ticks: &[StoredTick]) {
        let now = Utc::now();
        self.metrics.feed_stored.record_live(ticks.iter().map(|stored| now - stored.tick.received_at));
        let ahead = ticks.iter().map(|stored| stored.tick.received_at - now).max();
        if let Some(ahead) = ahead.filter(|ahead| *ahead > TimeDelta::seconds(topics::MAX_SKEW_SECONDS)) {
            self.log_skew(ahead);
        }
    }

    /// Logged now and then: every batch has it.
    fn log_skew(&self, ahead: TimeDelta) {
        let mut logged = self.skew_logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|at| at.elapsed() >= Duration::from_secs(SKEW_LOG_INTERVAL_SECONDS)) {
            *logged = Some(Instant::now());
            tracing::warn!(
                seconds = ahead.num_seconds(),
                "the clock of a producer is ahead of this host's: set one of them (NTP). Ticks of more than {} s ahead go to \
                 the dead letters",
                topics::tick::MAX_AHEAD_SECONDS
            );
        }
    }
}

#[async_trait]
impl Processor for Ticks {
    const NAME: &'static str = "consumer";
    type Event = StoredTick;
    type State = CandleState;
    type Effect = Candle;

    fn decode(&self, message: &Message, now: DateTime<Utc>) -> Result<Option<StoredTick>, String> {
        let tick = topics::tick::decode(&message.payload, now).map_err(|error| error.to_string())?;
        let position = &message.position;
        Ok(Some(StoredTick {
            tick,
            processed_at: now,
            partition: position.topic_partition.partition,
            offset: position.offset,
        }))
    }

    async fn store(&self, ticks: &[StoredTick]) -> Result<Vec<Verdict>, ProcessorError> {
        let outcomes = self.store.write_ticks(ticks).await?;
        let verdict = |outcome| match outcome {
            TickOutcome::New => Verdict::New,
            TickOutcome::Redelivered(at) => Verdict::Redelivered(at),
            TickOutcome::Duplicate => Verdict::Duplicate,
        };
        let verdicts: Vec<Verdict> = outcomes.into_iter().map(verdict).collect();
        // Also what was stored before: a crash may have come before the mark.
        let kept = ticks.iter().zip(&verdicts).filter(|(_, verdict)| **verdict != Verdict::Duplicate);
        let times = kept.map(|(stored, _)| (stored.tick.symbol, stored.tick.timestamp));
        live_store::mark_complete_days(&*self.store, times, Utc::now()).await?;
        let new = verdicts.iter().filter(|verdict| **verdict == Verdict::New).count();
        self.metrics.stored.add(new as u64);
        self.measure(ticks);
        Ok(verdicts)
    }

    fn apply(
        &self,
        state: &mut CandleState,
        stored: &StoredTick,
        now: DateTime<Utc>,
        closed: &mut Vec<Candle>,
    ) {
        if state.0.apply(&stored.tick, now, closed) == Applied::Late {
            self.metrics.late.add(1);
        }
    }

    fn is_idle_due(&self, state: &CandleState, now: DateTime<Utc>) -> bool {
        state.0.is_due(now)
    }

    /// Closes the candles of symbols that have gone quiet.
    fn idle(&self, state: &mut CandleState, now: DateTime<Utc>, closed: &mut Vec<Candle>) {
        state.0.advance(now, closed);
    }

    fn restart_idle(&self, state: &mut CandleState, now: DateTime<Utc>) {
        state.0.reset_idle_timers(now);
    }

    fn adopt(&self, state: &mut CandleState, others: &OtherPartitions<CandleState>) -> bool {
        state.adopt(&others.gone, &others.existing, |symbol| others.is_here(symbol.as_str().as_bytes()))
    }

    /// The candles in progress are stored as not final, so that charts show them.
    fn finish(&self, state: &CandleState, open: &mut Vec<Candle>) {
        open.extend(state.0.open_candles());
    }

    /// Stores candles, and publishes those of one minute that are final; wider ones can be derived from them.
    async fn emit(&self, candles: &[Candle]) -> Result<(), ProcessorError> {
        self.store.write_candles(candles).await?;
        let record = |candle: &Candle| NewRecord {
            key: Some(Bytes::copy_from_slice(candle.symbol.as_str().as_bytes())),
            payload: Bytes::from(topics::candle::encode(candle)),
            headers: Vec::new(),
            timestamp: Utc::now(),
        };
        let minutes = candles.iter().filter(|candle| candle.is_final && candle.interval == Interval::Minute);
        let records: Vec<NewRecord> = minutes.map(record).collect();
        if !records.is_empty() {
            self.publisher.send(topics::candle::TOPIC, records).await?.durable().await?;
        }
        self.metrics.candles_closed.add(candles.iter().filter(|candle| candle.is_final).count() as u64);
        Ok(())
    }
}
