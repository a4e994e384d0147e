//! The list of symbols that a user watches.

use std::str::FromStr;

use crate::Symbol;

/// Symbols to watch, without repeats, in the order given: `AAPL,BTC/USDT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watchlist(Vec<Symbol>);

/// Most symbols a watch list may hold.
const MAX_SYMBOLS: usize = 1_000;

impl Watchlist {
    /// The symbols; at least one.
    pub fn symbols(&self) -> &[Symbol] {
        &self.0
    }
}

impl FromStr for Watchlist {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut symbols = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let symbol = Symbol::parse(part).map_err(|error| error.to_string())?;
            if !symbols.contains(&symbol) {
                symbols.push(symbol);
            }
        }
        match symbols.len() {
            0 => Err("the watch list is empty; name at least one symbol, such as AAPL,BTC/USDT".into()),
            1..=MAX_SYMBOLS => Ok(Self(symbols)),
            n => Err(format!("the watch list has {n} symbols, at most {MAX_SYMBOLS} can be watched")),
        }
    }
}
