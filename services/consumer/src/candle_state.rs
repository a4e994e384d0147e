//! The candles in progress of one partition, as they are kept in its checkpoint.

use market::{BuilderState, CandleBuilder, Interval, Symbol};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Ticks may be this late and still count in their candle.
const ALLOWED_LATENESS_SECONDS: u32 = 5;

/// The state of the processor of ticks.
pub(crate) struct CandleState(pub(crate) CandleBuilder);

impl CandleState {
    /// Continues the candles in progress of partitions that are gone, of the symbols that are here now; and gives up those that
    /// other partitions continue, as when there was another log with fewer partitions for a while. Whether anything changed.
    pub(crate) fn adopt(
        &mut self,
        gone: &[Self],
        existing: &[Self],
        is_here: impl Fn(Symbol) -> bool + Copy,
    ) -> bool {
        let mut changed = 0;
        for other in gone {
            changed += self.0.inherit(other.0.state(), is_here);
        }
        // Mostly there is nothing that others could have.
        if !self.0.symbols().all(is_here) {
            for other in existing {
                changed += self.0.let_go(&other.0.state(), is_here);
            }
        }
        changed > 0
    }
}

impl Default for CandleState {
    fn default() -> Self {
        Self(CandleBuilder::new(&Interval::ALL, ALLOWED_LATENESS_SECONDS))
    }
}

impl Serialize for CandleState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.state().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CandleState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BuilderState::deserialize(deserializer).map(|state| Self(CandleBuilder::restore(state)))
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use event_log::partition_of;

    use super::*;

    fn empty() -> CandleState {
        CandleState::default()
    }

    #[test]
    fn candles_of_a_partition_that_is_gone_continue_where_their_symbols_are_now() {
        let json = br#"{"symbol":"AAPL","timestamp":"2024-01-02T15:04:05Z","price":1,"volume":1,"open":1,"high":1,"low":1,"change_percent":0,"source":"test","received_at":"2024-01-02T15:04:05Z","seq":1}"#;
        let tick = topics::tick::decode(json, Utc::now()).unwrap();
        let in_partition =
            |number, count| move |symbol: Symbol| partition_of(symbol.as_str().as_bytes(), count) == number;
        // Of six partitions AAPL is in the fourth or later, and of three in that less three.
        let before = partition_of(b"AAPL", 6);
        assert!(before >= 3, "another symbol is needed here: {before}");
        let mut gone = empty();
        gone.0.apply(&tick, tick.received_at, &mut Vec::new());
        let gone = [gone];
        let candles_at = |number| {
            let mut state = empty();
            let changed = state.adopt(&gone, &[], in_partition(number, 3));
            assert_eq!(changed, !state.0.open_candles().is_empty(), "what is new is saved");
            state.0.open_candles().len()
        };
        let expected = [0, 1, 2].map(|number| if number == before - 3 { Interval::ALL.len() } else { 0 });
        assert_eq!([0, 1, 2].map(candles_at), expected);
        // It was another log, and the one with six partitions is back.
        let mut heir = empty();
        heir.adopt(&gone, &[], in_partition(before - 3, 3));
        heir.adopt(&[], &gone, in_partition(before - 3, 6));
        assert_eq!(heir.0.open_candles(), [], "they are closed where they were");
        let [mut original] = gone;
        original.adopt(&[], &[heir], in_partition(before, 6));
        assert_eq!(original.0.open_candles().len(), Interval::ALL.len(), "which is here");
    }
}
