//! Which prices a store holds.

use live_store::{CandleQuery, LiveStore};
use market::Interval;

use crate::{
    ArchiveError, Result,
    pages::patiently,
    prices::{Held, Prices},
    selection::Selection,
};

/// Which of the selected prices a store holds, going by the newest tick of every symbol, or its newest candles where it
/// has no ticks. Rows are looked at again one by one when they are read.
///
/// # Errors
/// A store that fails.
pub async fn held(store: &dyn LiveStore, selection: &Selection) -> Result<Held> {
    let mut held = Held::default();
    let newest = patiently(|| store.latest_ticks()).await?;
    for row in newest.iter().filter(|row| selection.has_tick(row)) {
        held.add(Prices::of(row.tick.source), row.tick.symbol);
    }
    for symbol in patiently(|| store.symbols()).await? {
        // Both are in order.
        if newest.binary_search_by_key(&symbol, |row| row.tick.symbol).is_ok() {
            continue;
        }
        for interval in Interval::ALL {
            let query =
                CandleQuery { symbol, interval, from: selection.from(), to: selection.to(), limit: 1 };
            let candles = patiently(|| store.candles(&query)).await?;
            for candle in candles.iter().filter(|candle| selection.has_candle(candle)) {
                held.add(Prices::of(candle.source.feed), symbol);
            }
        }
    }
    Ok(held)
}

/// Refuses a target that holds the other kind of prices.
///
/// # Errors
/// [`ArchiveError::OtherPrices`], and a store that fails.
pub async fn check_target(store: &dyn LiveStore, coming: Prices) -> Result<()> {
    let held = held(store, &Selection::default()).await?;
    let (other, name) = match coming {
        Prices::Real => (held.simulated, Prices::Simulated),
        Prices::Simulated => (held.real, Prices::Real),
    };
    match other {
        Some(symbol) => {
            Err(ArchiveError::OtherPrices { held: name.as_str(), symbol, coming: coming.as_str() })
        }
        None => Ok(()),
    }
}
