//! Duplicates recognised without a store.

use std::{collections::HashMap, hash::Hash};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

/// The last sequence number of every key, for processors that store no events: part of a [`crate::Processor::State`], so that it
/// is saved with the offset. Right for sources whose numbers only rise in the log; what comes late, out of order, counts as a
/// duplicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSequences<K: Hash + Eq>(HashMap<K, u64>);

impl<K: Hash + Eq> Default for LastSequences<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> LastSequences<K> {
    /// Whether this number of the key is above all before; it is remembered.
    pub fn is_new(&mut self, key: K, sequence: u64) -> bool {
        match self.0.get_mut(&key) {
            Some(last) if *last >= sequence => false,
            Some(last) => {
                *last = sequence;
                true
            }
            None => {
                self.0.insert(key, sequence);
                true
            }
        }
    }
}

impl<K: Hash + Eq + Serialize> Serialize for LastSequences<K> {
    /// As a list of pairs: keys need not be text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl<'de, K: Hash + Eq + DeserializeOwned> Deserialize<'de> for LastSequences<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|pairs| Self(pairs.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_do_not_rise_are_duplicates_also_after_saving() {
        let mut last = LastSequences::default();
        let key = |symbol: &str| (symbol.to_owned(), "binance".to_owned());
        assert!(last.is_new(key("AAPL"), 5) && last.is_new(key("MSFT"), 1));
        assert!(!last.is_new(key("AAPL"), 5) && !last.is_new(key("AAPL"), 4));
        let saved = serde_json::to_string(&last).unwrap();
        let mut restored: LastSequences<(String, String)> = serde_json::from_str(&saved).unwrap();
        assert_eq!(restored, last);
        assert!(!restored.is_new(key("AAPL"), 5) && restored.is_new(key("AAPL"), 6));
    }
}
