//! Gaps of a feed: detected by the contiguous ids of its trades, recorded in the live store, repaired from the venue's history.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{Gap, GapCause, GapQuery, GapState, LiveStore};
use market::{Interval, Source, Symbol, Tick};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    feed::{Span, minutes::Filling},
    metrics::FeedMetrics,
};

/// Gaps that wait for the store or for their repair; further ones are counted and logged only.
const MAX_WAITING: usize = 10_000;
/// Gaps that are written at once.
const BATCH: usize = 500;
/// After a failure of the store.
const RETRY: Duration = Duration::from_secs(2);
/// Gaps are kept so long, and the older ones are removed once a day.
const KEPT: TimeDelta = TimeDelta::days(365);
const PRUNING: Duration = Duration::from_hours(24);
/// The store is waited for so long at the start and at the end.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// After so long the venue has the candle of a minute.
const SETTLED: TimeDelta = TimeDelta::seconds(2);

/// Compares the ids of trades of a venue that numbers those of each symbol without a gap. Pure.
#[derive(Debug, Default)]
pub(crate) struct Continuity {
    newest: HashMap<Symbol, Newest>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    id: u64,
    time: DateTime<Utc>,
    /// Why trades may be missing behind this one.
    cause: GapCause,
}

impl Continuity {
    /// After a start: these are the newest trades in the event log.
    pub(crate) fn after_restart(newest: &[Tick]) -> Self {
        let newest = newest.iter().map(|tick| {
            (tick.symbol, Newest { id: tick.seq, time: tick.timestamp, cause: GapCause::Restart })
        });
        Self { newest: newest.collect() }
    }

    /// A connection of these symbols has ended.
    pub(crate) fn disconnected(&mut self, symbols: &[Symbol]) {
        for symbol in symbols {
            if let Some(newest) = self.newest.get_mut(symbol)
                && newest.cause == GapCause::SkippedIds
            {
                newest.cause = GapCause::Disconnect;
            }
        }
    }

    /// Takes in a trade, whose id is its number. Returns the gap before it, if there is one.
    pub(crate) fn take_in(&mut self, tick: &Tick, now: DateTime<Utc>) -> Option<Gap> {
        let seen = Newest { id: tick.seq, time: tick.timestamp, cause: GapCause::SkippedIds };
        let before = *self.newest.entry(tick.symbol).or_insert(seen);
        if tick.seq < before.id {
            return None;
        }
        self.newest.insert(tick.symbol, seen);
        let missing = (tick.seq - before.id).checked_sub(1).filter(|missing| *missing > 0)?;
        Some(Gap {
            source: tick.source,
            symbol: tick.symbol,
            from: before.time.min(tick.timestamp),
            to: tick.timestamp,
            cause: before.cause,
            missing_trades: Some(missing),
            detected_at: now,
            state: GapState::Open,
        })
    }
}

/// Where a feed leaves its gaps.
#[derive(Clone)]
pub(crate) struct GapSender {
    /// To the store, where the process has one.
    to_store: Option<mpsc::Sender<Gap>>,
    metrics: FeedMetrics,
}

/// Writes the gaps of all feeds into the live store.
pub(crate) struct GapWriter {
    store: Arc<dyn LiveStore>,
    gaps: mpsc::Receiver<Gap>,
}

/// The writer, where there is a store, and what leads to it.
pub(crate) fn writer(store: Option<Arc<dyn LiveStore>>) -> (Option<mpsc::Sender<Gap>>, Option<GapWriter>) {
    let Some(store) = store else { return (None, None) };
    let (sender, gaps) = mpsc::channel(MAX_WAITING);
    (Some(sender), Some(GapWriter { store, gaps }))
}

impl GapSender {
    pub(crate) fn new(to_store: Option<mpsc::Sender<Gap>>, metrics: FeedMetrics) -> Self {
        Self { to_store, metrics }
    }

    /// Records what was detected, or what became of it. Does not wait.
    pub(crate) fn record(&self, gap: &Gap) {
        let Gap { source, symbol, from, to, cause, missing_trades, .. } = gap;
        match &gap.state {
            GapState::Open => {
                self.metrics.gaps_detected.add(1);
                tracing::warn!(%source, %symbol, %from, %to, %cause, missing_trades, "a gap was detected");
            }
            GapState::Repaired { .. } => {
                self.metrics.gaps_repaired.add(1);
                tracing::info!(%source, %symbol, %from, %to, "a gap was repaired");
            }
            GapState::Unrepaired { reason } => {
                tracing::warn!(%source, %symbol, %from, %to, reason, "a gap is not repaired");
            }
        }
        let is_lost = self.to_store.as_ref().is_some_and(|sender| sender.try_send(gap.clone()).is_err());
        if is_lost {
            tracing::warn!(%source, %symbol, %from, %to, "a gap was not recorded: too many wait for the live store");
        }
    }
}

impl GapWriter {
    /// Until all senders are gone, or the live store is away at the shutdown.
    pub(crate) async fn write(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut waiting = Vec::new();
        let mut prunings = tokio::time::interval(PRUNING);
        loop {
            tokio::select! {
                received = self.gaps.recv_many(&mut waiting, BATCH) => if received == 0 { return Ok(()) },
                _ = prunings.tick() => self.prune(Utc::now()).await,
            }
            while let Err(error) = self.store.record_gaps(&waiting).await {
                tracing::warn!(reason = %error, gaps = waiting.len(), "gaps wait for the live store");
                if shutdown.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
                    self.last_try(&waiting).await;
                    return Ok(());
                }
            }
            waiting.clear();
        }
    }

    /// What cannot be removed today is removed tomorrow.
    async fn prune(&self, now: DateTime<Utc>) {
        match self.store.prune_gaps(now - KEPT).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "old gaps were removed"),
            Err(error) => tracing::warn!(reason = %error, "old gaps could not be removed"),
        }
    }

    /// What cannot be written any more was logged when it was detected.
    async fn last_try(&self, waiting: &[Gap]) {
        let written = tokio::time::timeout(STORE_TIMEOUT, self.store.record_gaps(waiting)).await;
        if !matches!(written, Ok(Ok(()))) {
            tracing::warn!(gaps = waiting.len(), "gaps were not recorded: the live store is away");
        }
    }
}

/// The minutes of a gap, and when the last one is over at the venue.
fn minutes(gap: &Gap) -> (Span, DateTime<Utc>) {
    let minute = Interval::Minute;
    let end = minute.floor(gap.to) + minute.duration();
    ((minute.floor(gap.from), end), end + SETTLED)
}

/// Detects the gaps of one feed, records them, and passes them on to their repair.
pub(crate) struct GapWatch {
    continuity: Mutex<Continuity>,
    sender: GapSender,
    to_repair: mpsc::Sender<Gap>,
}

/// Repairs the gaps of one feed, one after the other.
pub(crate) struct Repairs {
    gaps: mpsc::Receiver<Gap>,
    sender: GapSender,
}

/// The gaps of a feed that an earlier run left open.
pub(crate) async fn open_ones(store: Option<&dyn LiveStore>, source: Source, symbols: &[Symbol]) -> Vec<Gap> {
    let Some(store) = store else { return Vec::new() };
    let query = GapQuery { is_unrepaired: true, ..GapQuery::default() };
    let is_ours =
        |gap: &Gap| gap.source == source && gap.state == GapState::Open && symbols.contains(&gap.symbol);
    match tokio::time::timeout(STORE_TIMEOUT, store.gaps(&query)).await {
        Ok(Ok(gaps)) => gaps.into_iter().filter(is_ours).collect(),
        Ok(Err(error)) => {
            tracing::warn!(reason = %error, "the gaps of an earlier run could not be read");
            Vec::new()
        }
        Err(_) => {
            tracing::warn!("the gaps of an earlier run could not be read in time");
            Vec::new()
        }
    }
}

/// A watch that begins behind these trades of the event log, and its repairs, with these gaps first.
pub(crate) fn watch(newest: &[Tick], open: Vec<Gap>, sender: GapSender) -> (GapWatch, Repairs) {
    let (to_repair, gaps) = mpsc::channel(MAX_WAITING);
    for gap in open {
        // There are at most a thousand.
        if to_repair.try_send(gap).is_err() {
            break;
        }
    }
    let continuity = Mutex::new(Continuity::after_restart(newest));
    (GapWatch { continuity, sender: sender.clone(), to_repair }, Repairs { gaps, sender })
}

impl GapWatch {
    /// Takes in trades in the order of their arrival. Does not wait.
    pub(crate) fn take_in(&self, ticks: &[Tick], now: DateTime<Utc>) {
        let mut continuity = self.continuity();
        let gaps: Vec<Gap> = ticks.iter().filter_map(|tick| continuity.take_in(tick, now)).collect();
        drop(continuity);
        for gap in gaps {
            self.sender.record(&gap);
            if let Err(error) = self.to_repair.try_send(gap) {
                let reason = "more gaps than can wait for their repair".to_owned();
                let gap = error.into_inner();
                self.sender.record(&Gap { state: GapState::Unrepaired { reason }, ..gap });
            }
        }
    }

    /// A connection of these symbols has ended.
    pub(crate) fn disconnected(&self, symbols: &[Symbol]) {
        self.continuity().disconnected(symbols);
    }

    fn continuity(&self) -> std::sync::MutexGuard<'_, Continuity> {
        self.continuity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repairs {
    /// Fills in the venue's candles of the minutes of each gap, until the watch is gone. Minutes of a gap that is longer than `horizon`
    /// are filled in from there on.
    pub(crate) async fn run(mut self, horizon: TimeDelta, filling: Filling<'_>) -> anyhow::Result<()> {
        while let Some(gap) = self.gaps.recv().await {
            let ((from, to), over_at) = minutes(&gap);
            // In the order of their ends, so that nothing behind it waits longer than a minute.
            tokio::time::sleep((over_at - Utc::now()).to_std().unwrap_or_default()).await;
            let oldest = Interval::Minute.floor(Utc::now() - horizon);
            let is_filled = filling.minutes(gap.symbol, (from.max(oldest), to)).await?;
            let state = match (is_filled, from < oldest) {
                (true, false) => GapState::Repaired { at: Utc::now() },
                (true, true) => GapState::Unrepaired {
                    reason: format!("only its last {} days are filled in", horizon.num_days()),
                },
                (false, _) => {
                    GapState::Unrepaired { reason: "the venue did not return its candles".to_owned() }
                }
            };
            self.sender.record(&Gap { state, ..gap });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use market::TickFields;
    use rust_decimal::Decimal;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn trade(name: &str, id: u64, seconds: i64) -> Tick {
        Tick::new(TickFields {
            symbol: Symbol::parse(name).expect("a symbol"),
            timestamp: at(seconds),
            price: Decimal::ONE,
            volume: Decimal::ONE,
            open: Decimal::ONE,
            high: Decimal::ONE,
            low: Decimal::ONE,
            size: Some(Decimal::ONE),
            change_percent: 0.0,
            source: Source::parse("binance").expect("a source"),
            received_at: at(seconds),
            seq: id,
        })
        .expect("a tick")
    }

    fn seen(continuity: &mut Continuity, id: u64, seconds: i64) -> Option<(GapCause, Option<u64>, i64, i64)> {
        let gap = continuity.take_in(&trade("BTC/USDT", id, seconds), at(seconds))?;
        Some((gap.cause, gap.missing_trades, gap.from.timestamp(), gap.to.timestamp()))
    }

    #[test]
    fn ids_that_are_left_out_are_a_gap_with_its_cause() {
        let bitcoin = [Symbol::parse("BTC/USDT").expect("a symbol")];
        let mut ids = Continuity::after_restart(&[trade("BTC/USDT", 100, 10)]);
        assert_eq!(seen(&mut ids, 103, 20), Some((GapCause::Restart, Some(2), 10, 20)));
        assert_eq!(seen(&mut ids, 104, 21), None);
        assert_eq!(seen(&mut ids, 106, 22), Some((GapCause::SkippedIds, Some(1), 21, 22)));
        ids.disconnected(&bitcoin);
        assert_eq!(seen(&mut ids, 110, 90), Some((GapCause::Disconnect, Some(3), 22, 90)));
        assert_eq!(seen(&mut ids, 111, 91), None);
    }

    #[test]
    fn a_quiet_time_and_trades_that_come_again_are_no_gap() {
        let bitcoin = [Symbol::parse("BTC/USDT").expect("a symbol")];
        let mut ids = Continuity::default();
        assert_eq!(seen(&mut ids, 100, 10), None);
        ids.disconnected(&bitcoin);
        assert_eq!(seen(&mut ids, 101, 600), None, "nothing was traded meanwhile");
        assert_eq!(seen(&mut ids, 101, 600), None);
        assert_eq!(seen(&mut ids, 99, 9), None);
        assert_eq!(seen(&mut ids, 102, 601), None);
        // Another symbol has ids of its own.
        assert_eq!(ids.take_in(&trade("ETH/USDT", 7, 1), at(1)), None);
    }

    #[test]
    fn the_minutes_of_a_gap_are_whole_ones_and_over_when_they_are_requested() {
        let mut ids = Continuity::after_restart(&[trade("BTC/USDT", 1, 59)]);
        let gap = ids.take_in(&trade("BTC/USDT", 3, 121), at(121)).expect("a gap");
        assert_eq!(minutes(&gap), ((at(0), at(180)), at(182)));
    }
}
