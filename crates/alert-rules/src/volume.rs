//! What volume of five minutes is usual.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use market::{AssetClass, Candle, day_bounds, decimal_to_f64};
use serde::{Deserialize, Serialize};

/// The width of the candles, and of the slots of a day.
pub const SLOT_WIDTH: TimeDelta = TimeDelta::minutes(5);
/// Sessions whose candles of the same time of day are averaged.
pub const BASELINE_SESSIONS: usize = 20;
/// Fewer sessions are no baseline: then the last candles are averaged.
const MIN_SESSIONS: usize = 5;
/// Last candles that are averaged.
pub const MAX_RECENT: usize = 50;
/// Fewer are no baseline either.
const MIN_RECENT: usize = 10;

/// Which of the five-minute slots of its day a candle fills: 0 is the first behind local midnight. The sessions of stocks are at the
/// same local time in winter and in summer; the days on which clocks change have none.
pub fn slot_of(class: AssetClass, time: DateTime<Utc>) -> u16 {
    let slots = (time - day_bounds(class, time).start).num_seconds() / SLOT_WIDTH.num_seconds();
    u16::try_from(slots).unwrap_or(u16::MAX)
}

/// What was usual before a day, of one symbol and feed. Computed once for each day and then kept, so that ticks that are read again
/// are judged alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// By slot of the day.
    slots: BTreeMap<u16, Slot>,
    /// The volumes of the last candles, oldest first.
    recent: Vec<f64>,
}

/// One time of day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    /// Mean volume, in shares or base currency.
    mean: f64,
    /// Of so many sessions.
    sessions: usize,
}

impl Baseline {
    /// Of the last sessions before `day`. `candles` are five-minute candles of one symbol, one for each time, oldest first; those
    /// without a volume, and those of `day` and later, are passed over.
    pub fn before(class: AssetClass, day: NaiveDate, candles: &[Candle]) -> Self {
        let mut by_day: BTreeMap<NaiveDate, Vec<(u16, f64)>> = BTreeMap::new();
        let mut recent = VecDeque::with_capacity(MAX_RECENT);
        for candle in candles {
            let (Some(volume), date) = (candle.volume, day_bounds(class, candle.time).date) else { continue };
            if date >= day {
                continue;
            }
            let volume = decimal_to_f64(volume);
            by_day.entry(date).or_default().push((slot_of(class, candle.time), volume));
            push_recent(&mut recent, volume);
        }
        let mut sums: BTreeMap<u16, (f64, usize)> = BTreeMap::new();
        for (slot, volume) in by_day.into_values().rev().take(BASELINE_SESSIONS).flatten() {
            let (sum, sessions) = sums.entry(slot).or_default();
            *sum += volume;
            *sessions += 1;
        }
        let mean = |(slot, (sum, sessions)): (u16, (f64, usize))| {
            (slot, Slot { mean: sum / sessions as f64, sessions })
        };
        Self { slots: sums.into_iter().map(mean).collect(), recent: recent.into() }
    }

    /// The volumes of the last candles before the day, oldest first.
    pub(crate) fn recent(&self) -> &[f64] {
        &self.recent
    }

    fn of_slot(&self, slot: u16) -> Option<f64> {
        self.slots.get(&slot).filter(|slot| slot.sessions >= MIN_SESSIONS).map(|slot| slot.mean)
    }
}

pub(crate) fn push_recent(recent: &mut VecDeque<f64>, volume: f64) {
    if recent.len() == MAX_RECENT {
        recent.pop_front();
    }
    recent.push_back(volume);
}

/// The usual volume of a slot: its mean over the last sessions, otherwise that of the last candles, if there are enough.
pub(crate) fn usual(baseline: Option<&Baseline>, slot: u16, recent: &VecDeque<f64>) -> Option<f64> {
    let of_recent = || (recent.len() >= MIN_RECENT).then(|| recent.iter().sum::<f64>() / recent.len() as f64);
    baseline.and_then(|baseline| baseline.of_slot(slot)).or_else(of_recent).filter(|mean| *mean > 0.0)
}
