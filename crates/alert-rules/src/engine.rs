//! Applies ticks to rules, for all symbols of one partition.

use std::{cmp::Ordering, collections::HashMap};

use chrono::{DateTime, Utc};
use market::{BuilderState, Candle, CandleBuilder, CandleTiming, Interval, Symbol, Tick};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    Alert, AlertId, Baseline, RuleSet, RuleSetId,
    symbol_state::{Arrival, STALE_AFTER, SavedSymbol, SymbolState},
};

/// The candles whose volumes are judged.
const INTERVALS: [Interval; 1] = [Interval::FiveMinutes];
/// The version of the state that is written, and the newest that is read.
const STATE_VERSION: StateVersion = StateVersion(1);

/// A tick, with what is known about its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PriceEvent {
    /// The tick.
    pub tick: Tick,
    /// It comes from a recording that is played.
    pub is_recorded: bool,
}

/// What follows from a tick.
#[derive(Clone, Debug, PartialEq)]
pub enum AlertChange {
    /// An episode has opened.
    Opened(Box<Alert>),
    /// An episode has closed.
    Closed {
        /// Its alert.
        alert: AlertId,
        /// When, by the tick's own time.
        closed_at: DateTime<Utc>,
        /// The furthest measure.
        peak: f64,
    },
}

/// The state of all symbols of one partition. The same ticks in the same order under the same rule sets give the same changes,
/// whether the state was saved and read in between or not.
///
/// - Ticks older than the newest one of their symbol are passed over, and so are those of a second feed while the first one has
///   ticks.
/// - The first tick after a change of the feed, stale ticks and simulated ones open no episode of a person; rules of the house may
///   open one.
/// - The volume of five minutes is judged when the next tick of the symbol closes their candle. There is no idle timeout: when ticks
///   are read again, no time passes between them. A candle that is closed by a tick of a later session opens nothing.
#[derive(Clone, Debug)]
pub struct Engine {
    symbols: HashMap<Symbol, SymbolState>,
    candles: CandleBuilder,
    rule_set: Option<RuleSetId>,
    /// Candles that the last tick has closed; kept for its room.
    closed: Vec<Candle>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    /// First, so that a state of an unknown version is refused before the rest of it is read.
    version: StateVersion,
    rule_set: Option<RuleSetId>,
    symbols: Vec<SavedSymbol>,
    candles: BuilderState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32")]
struct StateVersion(u32);

impl TryFrom<u32> for StateVersion {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        if version <= STATE_VERSION.0 {
            return Ok(Self(version));
        }
        Err(format!(
            "the state of the alerts has version {version}, and this program reads versions up to {}: upgrade it",
            STATE_VERSION.0
        ))
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            symbols: HashMap::new(),
            candles: CandleBuilder::new(&INTERVALS, CandleTiming::default()),
            rule_set: None,
            closed: Vec::new(),
        }
    }
}

impl Engine {
    /// The rule set in effect; `None` before the first.
    pub fn rule_set(&self) -> Option<&RuleSetId> {
        self.rule_set.as_ref()
    }

    /// Puts a rule set into effect: ticks from now on are judged by it. Whether it is another one than before.
    pub fn take_effect(&mut self, rules: &RuleSetId) -> bool {
        if self.rule_set.as_ref() == Some(rules) {
            return false;
        }
        self.rule_set = Some(rules.clone());
        true
    }

    /// Applies a tick; what follows is appended to `changes`. `rules` are those in effect, `baseline` is that of the tick's
    /// symbol, feed and day: always the same one for the same tick.
    pub fn apply(
        &mut self,
        rules: &RuleSet,
        event: &PriceEvent,
        baseline: Option<&Baseline>,
        changes: &mut Vec<AlertChange>,
    ) {
        let tick = &event.tick;
        let (state, arrival, is_next_session) = match self.symbols.get_mut(&tick.symbol) {
            Some(state) => {
                let (arrival, is_next_session) = state.arrive(tick);
                (state, arrival, is_next_session)
            }
            None => (
                self.symbols.entry(tick.symbol).or_insert_with(|| SymbolState::new(tick)),
                Arrival::First,
                false,
            ),
        };
        if arrival == Arrival::PassedOver {
            return;
        }
        state.bind(rules, changes);
        if is_next_session {
            state.end_session(changes);
        }
        let is_stale = tick.received_at - tick.timestamp > STALE_AFTER;
        let may_open_of_people = arrival == Arrival::Next && !is_stale && !tick.source.is_simulated();
        // The time of the tick is the clock here, too: what is read again later is built alike.
        self.candles.apply(tick, tick.timestamp, &mut self.closed);
        for candle in self.closed.drain(..) {
            state.judge_volume(rules, event, &candle, may_open_of_people, baseline, changes);
        }
        state.judge_price(rules, event, may_open_of_people, changes);
    }

    /// Takes over the symbols of partitions that are gone, where they are here now and further than ours; and gives up those that
    /// other partitions continue. Whether anything changed.
    pub fn adopt(
        &mut self,
        gone: &[Self],
        existing: &[Self],
        is_here: impl Fn(Symbol) -> bool + Copy,
    ) -> bool {
        let mut changed = 0;
        for other in gone {
            changed += self.candles.adopt(other.candles.state(), is_here);
            for theirs in other.symbols.values().filter(|theirs| is_here(theirs.symbol())) {
                let is_behind = |ours: &SymbolState| ours.order() < theirs.order();
                if self.symbols.get(&theirs.symbol()).is_none_or(is_behind) {
                    self.symbols.insert(theirs.symbol(), theirs.clone());
                    changed += 1;
                }
            }
        }
        if self.symbols.keys().all(|symbol| is_here(*symbol)) {
            return changed > 0;
        }
        for other in existing {
            changed += self.candles.release(&other.candles.state(), is_here);
            let before = self.symbols.len();
            self.symbols.retain(|symbol, ours| match other.symbols.get(symbol) {
                None => true,
                Some(theirs) => match theirs.order().cmp(&ours.order()) {
                    Ordering::Greater => false,
                    Ordering::Equal => is_here(*symbol),
                    Ordering::Less => true,
                },
            });
            changed += before - self.symbols.len();
        }
        changed > 0
    }
}

impl Serialize for Engine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut symbols: Vec<SavedSymbol> = self.symbols.values().map(SymbolState::saved).collect();
        symbols.sort_by_key(SavedSymbol::symbol);
        let saved = Saved {
            version: STATE_VERSION,
            rule_set: self.rule_set.clone(),
            symbols,
            candles: self.candles.state(),
        };
        saved.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Engine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Saved { version: _, rule_set, symbols, candles } = Saved::deserialize(deserializer)?;
        let symbols = symbols.into_iter().map(SymbolState::restore);
        Ok(Self {
            symbols: symbols.map(|state| (state.symbol(), state)).collect(),
            candles: CandleBuilder::restore(candles, &INTERVALS, CandleTiming::default()),
            rule_set,
            closed: Vec::new(),
        })
    }
}
