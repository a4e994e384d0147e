//! What is traded: a US stock (`AAPL`, `BRK.B`) or a crypto pair (`BTC/USDT`).

use std::{fmt, str::FromStr};

use arrayvec::ArrayString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest canonical form, in bytes.
const MAX_LEN: usize = 24;

/// Quote currencies that a concatenated or dashed pair (`BTCUSDT`, `BTC-USDT`) is split at, longest first where one
/// ends with another.
const QUOTES: [&str; 17] = [
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "GBP", "JPY", "TRY", "BRL", "AUD", "CHF", "DAI",
    "BTC", "ETH", "BNB",
];

/// A traded instrument in its canonical spelling; small, `Copy`, ordered alphabetically.
///
/// Accepted by [`Symbol::parse`], in any letter case:
/// - stocks: one to six letters or digits starting with a letter, with an optional class: `AAPL`, `BRK.B`, `BRK-B`;
/// - pairs: `BTC/USDT`; `BTC-USDT` and `BTCUSDT` are normalised to it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Symbol(ArrayString<MAX_LEN>);

/// Which market a symbol trades on, and so which calendar and topic it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AssetClass {
    /// US equities: New York sessions.
    Stock,
    /// Crypto pairs: around the clock, days in UTC.
    Crypto,
}

/// Why a text is not a symbol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// Nothing but white space.
    #[error("the symbol is empty")]
    Empty,
    /// More than 24 bytes.
    #[error("the symbol is longer than {MAX_LEN} characters")]
    TooLong,
    /// Neither a stock nor a pair.
    #[error("`{0}` is neither a stock (AAPL, BRK.B) nor a crypto pair (BTC/USDT)")]
    Malformed(String),
}

impl Symbol {
    /// Parses and normalises.
    ///
    /// # Errors
    /// [`SymbolError`] with the offending text.
    pub fn parse(text: &str) -> Result<Self, SymbolError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SymbolError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(SymbolError::TooLong);
        }
        let malformed = || SymbolError::Malformed(text.escape_debug().to_string());
        let upper = text.to_ascii_uppercase();
        if let Some((base, quote)) = upper.split_once('/') {
            return Self::pair(base, quote).ok_or_else(malformed);
        }
        if let Some((base, quote)) = upper.split_once('-') {
            if QUOTES.contains(&quote) {
                return Self::pair(base, quote).ok_or_else(malformed);
            }
            return Self::stock(base, Some(quote)).ok_or_else(malformed);
        }
        if let Some((base, class)) = upper.split_once('.') {
            return Self::stock(base, Some(class)).ok_or_else(malformed);
        }
        if upper.len() >= 6
            && let Some(quote) = QUOTES.iter().find(|quote| upper.ends_with(*quote))
            && let Some(pair) = Self::pair(&upper[..upper.len() - quote.len()], quote)
        {
            return Ok(pair);
        }
        Self::stock(&upper, None).ok_or_else(malformed)
    }

    /// A pair of two currency codes of letters or digits: a base of 1 to 10 (`W`, `1INCH`), a quote of 2 to 10.
    fn pair(base: &str, quote: &str) -> Option<Self> {
        let code = |text: &str, shortest| {
            (shortest..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        (code(base, 1) && code(quote, 2)).then(|| Self::join(base, "/", quote))
    }

    fn stock(base: &str, class: Option<&str>) -> Option<Self> {
        let starts_with_letter = base.bytes().next().is_some_and(|b| b.is_ascii_alphabetic());
        if !starts_with_letter || base.len() > 6 || !base.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        match class {
            None => Some(Self::join(base, "", "")),
            Some(class) if matches!(class.len(), 1 | 2) && class.bytes().all(|b| b.is_ascii_alphabetic()) => {
                Some(Self::join(base, ".", class))
            }
            Some(_) => None,
        }
    }

    /// The parts were measured by the callers: at most 10 + 1 + 10 bytes.
    fn join(base: &str, separator: &str, rest: &str) -> Self {
        let mut text = ArrayString::new();
        text.push_str(base);
        text.push_str(separator);
        text.push_str(rest);
        Self(text)
    }

    /// The canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Stock or crypto.
    pub fn asset_class(&self) -> AssetClass {
        if self.0.contains('/') { AssetClass::Crypto } else { AssetClass::Stock }
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbol({})", self.0)
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}
