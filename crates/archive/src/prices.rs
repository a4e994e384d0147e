//! Invented prices and real ones, which never share a store.

use market::{Source, Symbol};
use serde::{Deserialize, Serialize};

use crate::{ArchiveError, Result};

/// Of a venue, or invented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prices {
    /// Of a venue, live or recorded.
    Real,
    /// Of the simulated market.
    Simulated,
}

impl Prices {
    /// What a feed's prices are.
    pub fn of(feed: Source) -> Self {
        if feed.is_simulated() { Self::Simulated } else { Self::Real }
    }

    /// `real` or `simulated`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Simulated => "simulated",
        }
    }
}

/// Which prices a store holds, each with one symbol that proves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// A symbol with real prices.
    pub real: Option<Symbol>,
    /// A symbol with simulated prices.
    pub simulated: Option<Symbol>,
}

impl Held {
    pub(crate) fn add(&mut self, prices: Prices, symbol: Symbol) {
        match prices {
            Prices::Real => self.real.get_or_insert(symbol),
            Prices::Simulated => self.simulated.get_or_insert(symbol),
        };
    }

    /// The one kind there is; `None` where there is nothing.
    ///
    /// # Errors
    /// [`ArchiveError::Mixed`].
    pub fn only(&self) -> Result<Option<Prices>> {
        match (self.real, self.simulated) {
            (Some(real), Some(simulated)) => Err(ArchiveError::Mixed { real, simulated }),
            (Some(_), None) => Ok(Some(Prices::Real)),
            (None, Some(_)) => Ok(Some(Prices::Simulated)),
            (None, None) => Ok(None),
        }
    }
}
