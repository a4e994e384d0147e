//! The state machine of one rule, symbol and direction.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::AlertId;

/// Whether a condition is waited for, true, or not to be reported again yet.
///
/// ```text
///          reached, may open
///  Armed ---------------------> Open ---- gone back, or session ended ----> CoolingDown
///    ^                                                                          |
///    +-------------------------- `until` has passed ----------------------------+
/// ```
///
/// A condition that becomes true during the cool-down and still is when it ends opens an episode then.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Episode {
    /// The condition is waited for.
    #[default]
    Armed,
    /// An episode is open.
    Open {
        /// Its alert.
        alert: AlertId,
        /// When it opened, by the tick's own time.
        since: DateTime<Utc>,
        /// The furthest measure so far.
        peak: f64,
    },
    /// Closed a short time after it had opened.
    CoolingDown {
        /// From then on the next one may open, by the time of ticks.
        until: DateTime<Utc>,
    },
}

/// One measure, as it is seen by a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one independent fact about the measure")]
pub struct Observation {
    /// When, by the tick's own time.
    pub at: DateTime<Utc>,
    /// Percent, factor or price.
    pub measure: f64,
    /// The condition is true.
    pub is_reached: bool,
    /// The measure has gone back by the hysteresis.
    pub is_back: bool,
    /// The session in which the episode opened has ended, for rules that look at one session.
    pub is_next_session: bool,
    /// An episode may open now.
    pub may_open: bool,
}

/// What an observation has caused, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transition {
    /// The alert of the episode that closed, and its peak.
    pub closed: Option<(AlertId, f64)>,
    /// An episode opened.
    pub has_opened: bool,
}

impl Episode {
    /// Applies an observation. `id` makes the identity of an episode that opens. `is_further` compares a measure with the peak.
    pub fn observe(
        &mut self,
        seen: &Observation,
        cooldown: TimeDelta,
        is_further: impl Fn(f64, f64) -> bool,
        id: impl FnOnce() -> AlertId,
    ) -> Transition {
        let mut transition = Transition::default();
        if let Self::Open { alert, since, peak } = self {
            if !seen.is_back && !seen.is_next_session {
                if is_further(seen.measure, *peak) {
                    *peak = seen.measure;
                }
                return transition;
            }
            transition.closed = Some((alert.clone(), *peak));
            let until = since.checked_add_signed(cooldown).unwrap_or(*since);
            *self = Self::CoolingDown { until };
        }
        if let Self::CoolingDown { until } = self
            && seen.at >= *until
        {
            *self = Self::Armed;
        }
        if *self == Self::Armed && seen.is_reached && seen.may_open {
            *self = Self::Open { alert: id(), since: seen.at, peak: seen.measure };
            transition.has_opened = true;
        }
        transition
    }

    /// Whether nothing has to be remembered.
    pub fn is_armed(&self) -> bool {
        matches!(self, Self::Armed)
    }
}
