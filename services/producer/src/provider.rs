//! A feed as the command line names it.

use std::{fmt, str::FromStr, sync::LazyLock};

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

/// Providers in order of preference. Empty: not set, which is written `none`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderOrder(Vec<Provider>);

/// A text that is no list of providers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderOrderError {
    /// An entry that no feed has as its name.
    #[error("there is no provider `{0}`; there are {1}")]
    Unknown(String, String),
    /// A provider that is listed twice.
    #[error("{0} is listed twice")]
    Twice(Provider),
    /// Recordings have symbols of their own.
    #[error("{0} cannot be one of several; set --provider (PROVIDER) to it")]
    Recorded(Provider),
    /// A provider that would never be reached.
    #[error("{0} has prices of every symbol, so it must be the last one")]
    NotLast(Provider),
}

impl ProviderOrder {
    /// The providers, the preferred one first.
    pub fn providers(&self) -> &[Provider] {
        &self.0
    }

    /// None is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for ProviderOrder {
    type Err = ProviderOrderError;

    fn from_str(text: &str) -> Result<Self, ProviderOrderError> {
        let mut order: Vec<Provider> = Vec::new();
        if text.trim().eq_ignore_ascii_case("none") {
            return Ok(Self(order));
        }
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let found = Provider::all().find(|provider| provider.name().eq_ignore_ascii_case(name));
            let provider = found.ok_or_else(|| {
                let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
                let all: Vec<&str> = Provider::all().map(Provider::name).collect();
                ProviderOrderError::Unknown(shown, all.join(", "))
            })?;
            if provider.prices() == Prices::Recorded {
                return Err(ProviderOrderError::Recorded(provider));
            }
            if order.contains(&provider) {
                return Err(ProviderOrderError::Twice(provider));
            }
            order.push(provider);
        }
        match order.iter().rev().skip(1).find(|provider| provider.prices() == Prices::Simulated) {
            Some(simulated) => Err(ProviderOrderError::NotLast(*simulated)),
            None => Ok(Self(order)),
        }
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::spaces_and_case(" Yahoo , BINANCE,,simulated ", Ok(vec!["yahoo", "binance", "simulated"]))]
    #[case::not_set("none", Ok(vec![]))]
    #[case::empty("", Ok(vec![]))]
    #[case::unknown("yahoo,stooq", Err("there is no provider `stooq`; there are "))]
    #[case::twice("yahoo,binance,yahoo", Err("yahoo is listed twice"))]
    #[case::recorded("replay", Err("replay cannot be one of several"))]
    #[case::never_reached(
        "simulated,yahoo",
        Err("simulated has prices of every symbol, so it must be the last one")
    )]
    fn an_order_of_providers_is_read(#[case] text: &str, #[case] expected: Result<Vec<&str>, &str>) {
        match (text.parse::<ProviderOrder>(), expected) {
            (Ok(order), Ok(names)) => {
                assert_eq!(
                    order.providers().iter().map(|provider| provider.name()).collect::<Vec<_>>(),
                    names
                );
            }
            (Err(error), Err(beginning)) => assert!(error.to_string().starts_with(beginning), "{error}"),
            (order, _) => panic!("{text}: {order:?}"),
        }
    }
}
