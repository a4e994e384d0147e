//! What is archived.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// How far the stream processors had come.
    Checkpoints,
    /// Ticks.
    Ticks,
    /// Bars.
    Candles,
}

impl Kind {
    /// `checkpoints`, `ticks`, `candles`: also the folder of its files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Checkpoints => "checkpoints",
            Self::Ticks => "ticks",
            Self::Candles => "candles",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
