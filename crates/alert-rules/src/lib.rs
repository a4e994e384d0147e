//! Alert rules, the state machine that applies them to ticks, and the alerts that it opens. No I/O, no clock.
//!
//! An alert is one episode: it opens when the condition of a rule becomes true for a symbol, and closes when the measure has gone
//! back by the hysteresis or the session has ended. Its identity is `rule@revision:symbol:opening tick`, so that ticks that are
//! read again open the same alert and no other.

mod alert;
mod engine;
mod episode;
mod message;
mod rule;
mod rule_set;
mod symbol_state;
mod volume;
mod watch;

pub use alert::{Alert, AlertId, Delivery, DeliveryState, OpeningTick};
pub use engine::{AlertChange, Engine, PriceEvent};
pub use episode::{Episode, Observation, Transition};
pub use rule::{
    AlertRule, InvalidRule, MAX_RECIPIENTS, MAX_SYMBOLS, Owner, RuleFields, RuleId, RuleKind, UserId,
    WatchedSymbols,
};
pub use rule_set::{RuleSet, RuleSetId};
pub use symbol_state::{CORRECTED_CLOCK, STALE_AFTER, TAKEOVER_AFTER};
pub use volume::{BASELINE_SESSIONS, Baseline, MAX_RECENT, SLOT_WIDTH, slot_of};
