//! What is traded: a US stock (`AAPL`, `BRK.B`) or a crypto pair (`BTC/USDT`).

use std::{fmt, ops::RangeInclusive, str::FromStr};

use arrayvec::ArrayString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest canonical form, in bytes.
const MAX_LEN: usize = MAX_BASE + 1 + MAX_QUOTE;
/// Longest base of a pair, in bytes.
const MAX_BASE: usize = 20;
/// Longest quote currency of a pair, in bytes.
const MAX_QUOTE: usize = 10;
/// A text of so many letters that ends with a quote currency of three letters is a pair; a shorter one is a stock.
const SHORTEST_CONCATENATED: usize = 6;

/// Quote currencies that a concatenated or dashed pair (`BTCUSDT`, `BTC-USDT`) is split at.
const QUOTES: [&str; 17] = [
    "FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USD", "EUR", "GBP", "JPY", "TRY", "BRL", "AUD", "CHF", "DAI",
    "BTC", "ETH", "BNB",
];

/// Bases that decide where a concatenated pair is split that two quotes fit: `BNBUSD` is BNB/USD, not BN/BUSD.
const FREQUENT_BASES: [&str; 32] = [
    "BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "TRX", "LTC", "BCH", "DOT", "LINK", "AVAX", "XLM",
    "TON", "SUI", "SHIB", "PEPE", "UNI", "AAVE", "ETC", "XMR", "ATOM", "NEAR", "FIL", "ALGO", "MATIC", "POL",
    "USDC", "USDT", "FDUSD", "TUSD",
];

/// Suffixes of exchanges outside the US, as Yahoo and others write them, with their places. Their calendars, zones and currencies are not
/// known here. No US share class has one of these letters.
const OTHER_EXCHANGES: [(&str, &str); 53] = [
    ("AS", "Amsterdam"),
    ("AT", "Athens"),
    ("AX", "Sydney"),
    ("BA", "Buenos Aires"),
    ("BE", "Berlin"),
    ("BK", "Bangkok"),
    ("BO", "Mumbai (BSE)"),
    ("BR", "Brussels"),
    ("CN", "Toronto (CSE)"),
    ("CO", "Copenhagen"),
    ("DE", "Frankfurt (Xetra)"),
    ("DU", "Düsseldorf"),
    ("F", "Frankfurt"),
    ("HA", "Hanover"),
    ("HE", "Helsinki"),
    ("HK", "Hong Kong"),
    ("HM", "Hamburg"),
    ("IC", "Reykjavik"),
    ("IR", "Dublin"),
    ("IS", "Istanbul"),
    ("JK", "Jakarta"),
    ("JO", "Johannesburg"),
    ("KL", "Kuala Lumpur"),
    ("KQ", "Seoul (KOSDAQ)"),
    ("KS", "Seoul"),
    ("L", "London"),
    ("LS", "Lisbon"),
    ("MC", "Madrid"),
    ("MI", "Milan"),
    ("MU", "Munich"),
    ("MX", "Mexico City"),
    ("NE", "Toronto (Cboe Canada)"),
    ("NS", "Mumbai (NSE)"),
    ("NZ", "Wellington"),
    ("OL", "Oslo"),
    ("PA", "Paris"),
    ("QA", "Doha"),
    ("RG", "Riga"),
    ("SA", "São Paulo"),
    ("SG", "Stuttgart"),
    ("SI", "Singapore"),
    ("SN", "Santiago"),
    ("SR", "Riyadh"),
    ("SS", "Shanghai"),
    ("ST", "Stockholm"),
    ("SW", "Zurich"),
    ("SZ", "Shenzhen"),
    ("T", "Tokyo"),
    ("TA", "Tel Aviv"),
    ("TO", "Toronto"),
    ("TW", "Taipei"),
    ("V", "Toronto (TSX Venture)"),
    ("VI", "Vienna"),
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
    /// More than 31 bytes.
    #[error("the symbol is longer than {MAX_LEN} characters")]
    TooLong,
    /// Neither a stock nor a pair.
    #[error("`{0}` is neither a stock (AAPL, BRK.B) nor a crypto pair (BTC/USDT)")]
    Malformed(String),
    /// Not a pair, where a crypto venue was expected to name one.
    #[error("`{0}` is not a crypto pair (BTC/USDT)")]
    NotAPair(String),
    /// A stock of an exchange outside the US: its text, and the place of the exchange.
    #[error("`{0}` is listed in {1}; only US stocks (AAPL, BRK.B) and crypto pairs (BTC/USDT) are served")]
    OtherExchange(String, &'static str),
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
            if let Some((_, place)) = OTHER_EXCHANGES.iter().find(|(suffix, _)| *suffix == class) {
                return Err(SymbolError::OtherExchange(upper.escape_debug().to_string(), place));
            }
            return Self::stock(base, Some(class)).ok_or_else(malformed);
        }
        // A stock of five letters may end with a currency of three, but not with a stable coin of four.
        let is_long_enough = |(base, quote): &(&str, &str)| {
            upper.len() >= SHORTEST_CONCATENATED || (quote.len() > 3 && base.len() == 1)
        };
        let concatenated = split(&upper, &QUOTES).filter(is_long_enough);
        if let Some(pair) = concatenated.and_then(|(base, quote)| Self::pair(base, quote)) {
            return Ok(pair);
        }
        Self::stock(&upper, None).ok_or_else(malformed)
    }

    /// Parses what a crypto venue names: `BTC/USDT`, `BTC-USDT`, `BTC_USDT`, or `BTCUSDT`, split at one of the venue's quote currencies,
    /// `quotes`. Never a stock: `TUSDT` is T/USDT.
    ///
    /// # Errors
    /// [`SymbolError`] with the offending text.
    pub fn parse_pair(text: &str, quotes: &[&str]) -> Result<Self, SymbolError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SymbolError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(SymbolError::TooLong);
        }
        let upper = text.to_ascii_uppercase();
        let parts = upper.split_once(['/', '-', '_']).or_else(|| split(&upper, quotes));
        let pair = parts.and_then(|(base, quote)| Self::pair(base, quote));
        pair.ok_or_else(|| SymbolError::NotAPair(text.escape_debug().to_string()))
    }

    /// A pair of two currency codes of letters or digits: a base of 1 to 20 (`W`, `1INCH`), a quote of 2 to 10.
    fn pair(base: &str, quote: &str) -> Option<Self> {
        let code = |text: &str, lengths: RangeInclusive<usize>| {
            lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        (code(base, 1..=MAX_BASE) && code(quote, 2..=MAX_QUOTE)).then(|| Self::join(base, "/", quote))
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

    /// The parts were measured by the callers: at most 20 + 1 + 10 bytes.
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

/// Base and quote of a concatenated pair. Where several quotes fit, the one after a frequent base is taken, otherwise the longest.
fn split<'a>(pair: &'a str, quotes: &[&str]) -> Option<(&'a str, &'a str)> {
    let fitting = quotes.iter().filter_map(|quote| {
        let base = pair.strip_suffix(quote).filter(|base| !base.is_empty())?;
        Some((base, pair.get(base.len()..)?))
    });
    fitting.max_by_key(|(base, quote)| (FREQUENT_BASES.contains(base), quote.len()))
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
