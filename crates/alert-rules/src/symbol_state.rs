//! What is remembered of one symbol.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, DayBounds, Source, Symbol, Tick, day_bounds, decimal_to_f64};
use serde::{Deserialize, Serialize};

use crate::{
    AlertChange, AlertId, Baseline, Episode, Observation, PriceEvent, RuleId, RuleKind, RuleSet, RuleSetId,
    alert::{Alert, Opening},
    volume::{push_recent, slot_of, usual},
    watch::{Measure, Side, Watch},
};

/// A tick that was received so long after it had happened is stale: it opens no episode of a person. Longer than the 15 minutes by
/// which delayed quotes lag.
pub const STALE_AFTER: TimeDelta = TimeDelta::minutes(20);
/// A symbol follows one feed; another one takes over when the first has had no tick for so long, by the time of ticks. Two feeds at
/// once would otherwise alternate around a threshold.
pub const TAKEOVER_AFTER: TimeDelta = TimeDelta::minutes(1);
/// A tick that is older than the newest one by more than this, and was also received that much earlier although it has a higher
/// number, is not late: the clock that gave the times was fast and has been corrected.
pub const CORRECTED_CLOCK: TimeDelta = TimeDelta::minutes(1);

/// One symbol.
#[derive(Clone, Debug)]
pub(crate) struct SymbolState {
    symbol: Symbol,
    source: Source,
    newest: Newest,
    day: DayBounds,
    /// Volumes of the last closed candles, oldest first.
    recent: VecDeque<f64>,
    /// In the order of the rules of the set that it is bound to.
    watches: Vec<Watch>,
    bound_to: Option<RuleSetId>,
    /// Episodes of a state that was read, until they are bound to rules.
    kept: Vec<KeptEpisode>,
}

/// The newest tick.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Newest {
    timestamp: DateTime<Utc>,
    seq: u64,
    received_at: DateTime<Utc>,
}

/// An episode that is not armed, in a state that is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct KeptEpisode {
    rule: RuleId,
    side: Side,
    #[serde(flatten)]
    kind: RuleKind,
    #[serde(flatten)]
    episode: Episode,
}

/// A symbol in a state that is saved.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedSymbol {
    symbol: Symbol,
    source: Source,
    newest: Newest,
    day: DayBounds,
    recent: VecDeque<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    episodes: Vec<KeptEpisode>,
}

impl SavedSymbol {
    pub(crate) fn symbol(&self) -> Symbol {
        self.symbol
    }
}

/// How a tick relates to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Older than the newest, or of a feed that is not followed: it is passed over.
    PassedOver,
    /// The first of its feed.
    First,
    /// In order.
    Next,
}

impl SymbolState {
    pub(crate) fn new(tick: &Tick) -> Self {
        Self {
            symbol: tick.symbol,
            source: tick.source,
            newest: Newest::of(tick),
            day: day_bounds(tick.asset_class(), tick.timestamp),
            recent: VecDeque::new(),
            watches: Vec::new(),
            bound_to: None,
            kept: Vec::new(),
        }
    }

    pub(crate) fn symbol(&self) -> Symbol {
        self.symbol
    }

    /// Compares the progress of two states of one symbol.
    pub(crate) fn order(&self) -> (DateTime<Utc>, u64) {
        (self.newest.timestamp, self.newest.seq)
    }

    /// Moves on to a tick, if it is not passed over. Whether a session has ended with it is in the second value.
    pub(crate) fn arrive(&mut self, tick: &Tick) -> (Arrival, bool) {
        let arrival = if tick.source == self.source {
            if !self.newest.is_before(tick) {
                return (Arrival::PassedOver, false);
            }
            Arrival::Next
        } else {
            if tick.timestamp <= self.newest.timestamp + TAKEOVER_AFTER {
                return (Arrival::PassedOver, false);
            }
            self.source = tick.source;
            self.recent.clear();
            Arrival::First
        };
        self.newest = Newest::of(tick);
        let is_next_day = !self.day.holds(tick.timestamp);
        if is_next_day {
            self.day = day_bounds(tick.asset_class(), tick.timestamp);
        }
        (arrival, is_next_day)
    }

    /// Makes the watches of a rule set. Episodes continue under later revisions; those whose rule is gone or has another threshold
    /// are closed.
    pub(crate) fn bind(&mut self, rules: &RuleSet, changes: &mut Vec<AlertChange>) {
        if self.bound_to.as_ref() == Some(rules.id()) {
            return;
        }
        let kept = self.episodes();
        self.kept.clear();
        self.watches = rules.of(self.symbol).flat_map(|(index, rule)| Watch::of(index, rule)).collect();
        self.bound_to = Some(rules.id().clone());
        for KeptEpisode { rule, side, kind, episode } in kept {
            let continues =
                |watch: &&mut Watch| watch.rule_id == rule && watch.side == side && watch.kind == kind;
            match (self.watches.iter_mut().find(continues), episode) {
                (Some(watch), episode) => watch.episode = episode,
                (None, Episode::Open { alert, peak, .. }) => {
                    changes.push(AlertChange::Closed { alert, closed_at: self.newest.timestamp, peak });
                }
                (None, Episode::Armed | Episode::CoolingDown { .. }) => {}
            }
        }
    }

    /// Ends the episodes of the session that is over.
    pub(crate) fn end_session(&mut self, changes: &mut Vec<AlertChange>) {
        let at = self.newest.timestamp;
        for watch in self.watches.iter_mut().filter(|watch| watch.is_open() && watch.is_of_session()) {
            let seen = Observation {
                at,
                measure: 0.0,
                is_reached: false,
                is_back: false,
                is_next_session: true,
                may_open: false,
            };
            let never = || AlertId::of_text("");
            let closed = watch.episode.observe(&seen, watch.cooldown, |_, _| false, never).closed;
            changes.extend(closed.map(|(alert, peak)| AlertChange::Closed { alert, closed_at: at, peak }));
        }
    }

    /// Judges the price of a tick.
    pub(crate) fn judge_price(
        &mut self,
        rules: &RuleSet,
        event: &PriceEvent,
        may_open_of_people: bool,
        changes: &mut Vec<AlertChange>,
    ) {
        let tick = &event.tick;
        let (change, price) = (tick.price_change_pct(), decimal_to_f64(tick.price));
        for watch in &mut self.watches {
            let measure = match watch.measure {
                Measure::Change => change,
                Measure::Price => price,
                Measure::Volume => continue,
            };
            // Most ticks end here.
            if !watch.is_open() && !watch.is_reached(measure) {
                continue;
            }
            let opening = Opening { tick, measure, volume: None, is_recorded: event.is_recorded };
            let may_open = watch.is_of_house || may_open_of_people;
            judge(watch, rules, opening, may_open, None, changes);
        }
    }

    /// Judges the volume of a candle that a tick has closed.
    pub(crate) fn judge_volume(
        &mut self,
        rules: &RuleSet,
        event: &PriceEvent,
        candle: &Candle,
        may_open_of_people: bool,
        baseline: Option<&Baseline>,
        changes: &mut Vec<AlertChange>,
    ) {
        let Some(volume) = candle.volume.map(decimal_to_f64) else { return };
        let class = self.symbol.asset_class();
        // One of a session before is history: it is not news any more.
        let is_of_session = self.day.holds(candle.time);
        if is_of_session {
            if let Some(baseline) = baseline
                && self.recent.len() < baseline.recent().len()
            {
                self.recent = baseline.recent().iter().copied().collect();
            }
            let usual = usual(baseline, slot_of(class, candle.time), &self.recent);
            if let Some(mean) = usual {
                let measure = volume / mean;
                let opening = Opening {
                    tick: &event.tick,
                    measure,
                    volume: Some((volume, mean)),
                    is_recorded: event.is_recorded,
                };
                for watch in self.watches.iter_mut().filter(|watch| watch.measure == Measure::Volume) {
                    let may_open = watch.is_of_house || may_open_of_people;
                    judge(watch, rules, opening, may_open, Some(candle.time), changes);
                }
            }
        }
        push_recent(&mut self.recent, volume);
    }

    /// The episodes that have to be remembered.
    fn episodes(&self) -> Vec<KeptEpisode> {
        let is_over = |episode: &Episode| match episode {
            Episode::Armed => true,
            Episode::CoolingDown { until } => *until <= self.newest.timestamp,
            Episode::Open { .. } => false,
        };
        let of_watches = self.watches.iter().map(|watch| KeptEpisode {
            rule: watch.rule_id.clone(),
            side: watch.side,
            kind: watch.kind,
            episode: watch.episode.clone(),
        });
        let all = self.kept.iter().cloned().chain(of_watches);
        all.filter(|kept| !is_over(&kept.episode)).collect()
    }

    pub(crate) fn saved(&self) -> SavedSymbol {
        SavedSymbol {
            symbol: self.symbol,
            source: self.source,
            newest: self.newest,
            day: self.day,
            recent: self.recent.clone(),
            episodes: self.episodes(),
        }
    }

    pub(crate) fn restore(saved: SavedSymbol) -> Self {
        let SavedSymbol { symbol, source, newest, day, recent, episodes: kept } = saved;
        Self { symbol, source, newest, day, recent, watches: Vec::new(), bound_to: None, kept }
    }
}

/// Applies a measure to a watch. `candle` is the open time of the candle whose volume it is.
fn judge(
    watch: &mut Watch,
    rules: &RuleSet,
    opening: Opening<'_>,
    may_open: bool,
    candle: Option<DateTime<Utc>>,
    changes: &mut Vec<AlertChange>,
) {
    let Some(rule) = rules.rules().get(watch.rule) else { return };
    let Opening { tick, measure, .. } = opening;
    let id = || match candle {
        Some(open_time) => AlertId::of_candle(rule, tick.symbol, tick.source, open_time),
        None => AlertId::of_tick(rule, tick),
    };
    let seen = Observation {
        at: tick.timestamp,
        measure,
        is_reached: watch.is_reached(measure),
        is_back: watch.is_back(measure),
        is_next_session: false,
        may_open,
    };
    let transition = watch.episode.observe(&seen, watch.cooldown, Watch::is_further(watch.side), id);
    if let Some((alert, peak)) = transition.closed {
        changes.push(AlertChange::Closed { alert, closed_at: tick.timestamp, peak });
    }
    if transition.has_opened
        && let Episode::Open { alert, .. } = &watch.episode
    {
        changes.push(AlertChange::Opened(Box::new(Alert::open(alert.clone(), rule, opening))));
    }
}

impl Newest {
    fn of(tick: &Tick) -> Self {
        Self { timestamp: tick.timestamp, seq: tick.seq, received_at: tick.received_at }
    }

    /// Whether a tick of the same feed is newer.
    fn is_before(&self, tick: &Tick) -> bool {
        let is_corrected = || {
            tick.seq > self.seq
                && tick.timestamp + CORRECTED_CLOCK < self.timestamp
                && tick.received_at + CORRECTED_CLOCK < self.received_at
        };
        (self.timestamp, self.seq) < (tick.timestamp, tick.seq) || is_corrected()
    }
}
