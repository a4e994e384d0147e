//! One rule on one symbol in one direction: its levels and its episode.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::{AlertRule, Episode, RuleId, RuleKind};

/// Rules re-arm when the measure has gone back by this part of the threshold.
const HYSTERESIS: f64 = 0.2;
/// Levels of prices re-arm when the price is this part of the level behind it: a fifth of one percent. A fifth of the level itself
/// would never be reached.
const LEVEL_HYSTERESIS: f64 = 0.002;
/// Percentages are computed in binary: 5 % of 260.22 may come out as 4.999999999999.
const PERCENT_TOLERANCE: f64 = 1e-9;

/// The direction of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    Up,
    Down,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// Percent from the open, with its sign.
    Change,
    /// The price.
    Price,
    /// The volume of a closed candle, in times of the usual one.
    Volume,
}

#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// The index of the rule in its set.
    pub(crate) rule: usize,
    pub(crate) rule_id: RuleId,
    pub(crate) kind: RuleKind,
    pub(crate) side: Side,
    pub(crate) measure: Measure,
    /// What makes the condition true.
    threshold: f64,
    /// What re-arms.
    rearm: f64,
    pub(crate) is_of_house: bool,
    pub(crate) cooldown: TimeDelta,
    pub(crate) episode: Episode,
}

impl Watch {
    /// The watches of a rule, armed.
    pub(crate) fn of(index: usize, rule: &AlertRule) -> impl Iterator<Item = Self> + use<> {
        let (is_of_house, cooldown) = (rule.owner.is_house(), rule.cooldown());
        let watch = |side, measure, threshold, rearm| Self {
            rule: index,
            rule_id: rule.id.clone(),
            kind: rule.kind,
            side,
            measure,
            threshold,
            rearm,
            is_of_house,
            cooldown,
            episode: Episode::Armed,
        };
        let threshold = rule.kind.threshold();
        let back = threshold * (1.0 - HYSTERESIS);
        let watches = match rule.kind {
            RuleKind::ChangeFromOpen { .. } => {
                let (reached, back) = (threshold - PERCENT_TOLERANCE, back + PERCENT_TOLERANCE);
                [
                    Some(watch(Side::Up, Measure::Change, reached, back)),
                    Some(watch(Side::Down, Measure::Change, -reached, -back)),
                ]
            }
            RuleKind::VolumeSpike { .. } => [Some(watch(Side::Up, Measure::Volume, threshold, back)), None],
            RuleKind::Above { .. } => {
                let rearm = threshold * (1.0 - LEVEL_HYSTERESIS);
                [Some(watch(Side::Up, Measure::Price, threshold, rearm)), None]
            }
            RuleKind::Below { .. } => {
                let rearm = threshold * (1.0 + LEVEL_HYSTERESIS);
                [Some(watch(Side::Down, Measure::Price, threshold, rearm)), None]
            }
        };
        watches.into_iter().flatten()
    }

    /// The condition is true.
    pub(crate) fn is_reached(&self, measure: f64) -> bool {
        match (self.measure, self.side) {
            // Above so many times the mean, not at.
            (Measure::Volume, _) => measure > self.threshold,
            (_, Side::Up) => measure >= self.threshold,
            (_, Side::Down) => measure <= self.threshold,
        }
    }

    /// The measure has gone back by the hysteresis.
    pub(crate) fn is_back(&self, measure: f64) -> bool {
        match self.side {
            Side::Up => measure <= self.rearm,
            Side::Down => measure >= self.rearm,
        }
    }

    /// Whether a measure is further than the peak so far.
    pub(crate) fn is_further(side: Side) -> impl Fn(f64, f64) -> bool {
        move |measure, peak| match side {
            Side::Up => measure > peak,
            Side::Down => measure < peak,
        }
    }

    /// Whether the end of a session ends the episode. A price that stays above a level for days is reported once.
    pub(crate) fn is_of_session(&self) -> bool {
        self.measure != Measure::Price
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.episode, Episode::Open { .. })
    }
}
