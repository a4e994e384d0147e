//! What is archived.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::noun::NOUNS;

/// What the rows of a file are: the name of a noun, and the folder of its files. The constants stand beside the nouns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Kind(&'static str);

impl Kind {
    pub(crate) const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// `checkpoints`, `ticks`, `candles`.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = NOUNS.iter().map(|noun| noun.kind()).find(|kind| kind.as_str() == name);
        known.ok_or_else(|| de::Error::custom(format!("`{name:.40}` is no kind of rows")))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
