//! A feed as the command line names it.

use std::{fmt, sync::LazyLock};

use clap::{ValueEnum, builder::PossibleValue};

use crate::feed::{FEEDS, Feed, Prices};

/// A feed of the table.
#[derive(Clone, Copy)]
pub struct Provider(&'static Feed);

impl Provider {
    /// All, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        FEEDS.into_iter().map(Self)
    }

    /// The one with simulated prices.
    pub(crate) fn simulated() -> Self {
        Self(&crate::feed::simulated::FEED)
    }

    pub(crate) fn feed(self) -> &'static Feed {
        self.0
    }

    /// `binance`, `simulated`.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Which prices it has.
    pub fn prices(self) -> Prices {
        self.0.prices
    }
}

impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Provider {}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({})", self.name())
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which providers to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderChoice {
    /// Those that need no key and answer; otherwise the simulated market.
    Auto,
    /// This one.
    Named(Provider),
}

impl ProviderChoice {
    /// The symbols come from files, not from the watch list.
    pub fn is_recorded(self) -> bool {
        matches!(self, Self::Named(provider) if provider.prices() == Prices::Recorded)
    }
}

impl ValueEnum for ProviderChoice {
    fn value_variants<'a>() -> &'a [Self] {
        static VARIANTS: LazyLock<Vec<ProviderChoice>> = LazyLock::new(|| {
            std::iter::once(ProviderChoice::Auto).chain(Provider::all().map(ProviderChoice::Named)).collect()
        });
        &VARIANTS
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, summary) = match self {
            Self::Auto => ("auto", "Whatever answers"),
            Self::Named(provider) => (provider.name(), provider.feed().summary),
        };
        Some(PossibleValue::new(name).help(summary))
    }
}
