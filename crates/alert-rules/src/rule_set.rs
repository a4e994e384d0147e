//! The rules in effect, as one value with an identity.

use std::{collections::HashMap, fmt, fmt::Write};

use market::Symbol;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{AlertRule, WatchedSymbols};

/// The identity of a [`RuleSet`]: a hash of its content, so that the same rules have the same identity everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleSetId(String);

impl RuleSetId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleSetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Active rules, each in one revision. A partition is judged by one rule set at a time, and its state names it.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSet {
    id: RuleSetId,
    text: String,
    rules: Vec<AlertRule>,
    /// Indexes of the rules that watch all symbols.
    of_all: Vec<usize>,
    /// Indexes of those that name a symbol.
    of_symbol: HashMap<Symbol, Vec<usize>>,
}

impl RuleSet {
    /// The active ones of these rules. Their order has no meaning.
    ///
    /// # Errors
    /// Rules that cannot be encoded; a checked rule always can.
    pub fn new(rules: impl IntoIterator<Item = AlertRule>) -> serde_json::Result<Self> {
        let mut rules: Vec<AlertRule> = rules.into_iter().filter(|rule| rule.is_active).collect();
        rules.sort_by(|one, other| one.id.cmp(&other.id));
        rules.dedup_by(|one, other| one.id == other.id);
        let text = serde_json::to_string(&rules)?;
        let hash = Sha256::digest(text.as_bytes());
        // Half of it: 128 bits do not collide by chance.
        let id = hash.iter().take(16).fold(String::with_capacity(32), |mut id, byte| {
            // Writing to a string does not fail.
            let _ = write!(id, "{byte:02x}");
            id
        });
        let (mut of_all, mut of_symbol) = (Vec::new(), HashMap::<Symbol, Vec<usize>>::new());
        for (index, rule) in rules.iter().enumerate() {
            match &rule.symbols {
                WatchedSymbols::All => of_all.push(index),
                WatchedSymbols::Only(symbols) => {
                    for symbol in symbols {
                        of_symbol.entry(*symbol).or_default().push(index);
                    }
                }
            }
        }
        Ok(Self { id: RuleSetId(id), text, rules, of_all, of_symbol })
    }

    /// From the text of [`RuleSet::text`].
    ///
    /// # Errors
    /// A text that is no list of rules, with the field that is wrong.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        Self::new(serde_json::from_str::<Vec<AlertRule>>(text)?)
    }

    /// Its identity.
    pub fn id(&self) -> &RuleSetId {
        &self.id
    }

    /// Its content as JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rules, by identity.
    pub fn rules(&self) -> &[AlertRule] {
        &self.rules
    }

    /// The rules that watch a symbol, with their indexes.
    pub(crate) fn of(&self, symbol: Symbol) -> impl Iterator<Item = (usize, &AlertRule)> {
        let named = self.of_symbol.get(&symbol).map_or(&[][..], Vec::as_slice);
        let indexes = self.of_all.iter().chain(named);
        indexes.filter_map(|index| Some((*index, self.rules.get(*index)?)))
    }
}
