//! Trading days whose rows in the analytics store may lack what was stored after the day was complete.

pub(crate) mod mongo;
pub(crate) mod sqlite;

use std::collections::BTreeSet;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use market::{AssetClass, DayBounds, Symbol, day_bounds, day_complete_at};

use crate::Result;

/// Days of one symbol that are read at once; the others follow when these are unmarked.
const MAX_DAYS: u32 = 10_000;

/// Days are marked so long before they are complete: the clock of the batch may be ahead.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// A marked trading day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleDay {
    /// What was traded.
    pub symbol: Symbol,
    /// New York's date for stocks, UTC's for crypto.
    pub date: NaiveDate,
    /// When it was marked last, as the store has it: at least to the millisecond.
    pub marked_at: DateTime<Utc>,
    /// How many times it was marked since it was last unmarked.
    pub marks: u64,
}

/// The store of marked days.
///
/// # Contract
/// - A mark is set after the ticks that it stands for, and before the checkpoint behind them: whoever reads the mark finds the
///   ticks, and a crash in between repeats both. In a store of one process ([`crate::open_alone`]) it goes into the file with
///   the ticks before it.
/// - [`StaleDayStore::unmark_stale`] removes no mark that was set after it was read.
#[async_trait]
pub trait StaleDayStore: Send + Sync {
    /// Marks days; those that are marked already, once more.
    async fn mark_stale(&self, days: &BTreeSet<(Symbol, NaiveDate)>, now: DateTime<Utc>) -> Result<()>;

    /// The marked days of a symbol, oldest first.
    async fn stale_days(&self, symbol: Symbol) -> Result<Vec<StaleDay>>;

    /// Removes marks that are as they were read; returns how many.
    async fn unmark_stale(&self, days: &[StaleDay]) -> Result<u64>;
}

/// Marks the days of what happened at these times, where they may have been aggregated by `now`: for ticks and candles that have
/// just been stored.
///
/// # Errors
/// Those of [`StaleDayStore::mark_stale`].
pub async fn mark_complete_days(
    store: &dyn StaleDayStore,
    stored: impl IntoIterator<Item = (Symbol, DateTime<Utc>)> + Send,
    now: DateTime<Utc>,
) -> Result<()> {
    let days = complete_days(stored, now);
    if days.is_empty() { Ok(()) } else { store.mark_stale(&days, now).await }
}

fn complete_days(
    stored: impl IntoIterator<Item = (Symbol, DateTime<Utc>)>,
    now: DateTime<Utc>,
) -> BTreeSet<(Symbol, NaiveDate)> {
    let mut days = BTreeSet::new();
    // Of each class the day of the last time, and whether it is complete: mostly the next time is of the same day.
    let mut last: [Option<(DayBounds, bool)>; 2] = [None, None];
    for (symbol, time) in stored {
        let class = symbol.asset_class();
        let [stocks, crypto] = &mut last;
        let last = match class {
            AssetClass::Stock => stocks,
            AssetClass::Crypto => crypto,
        };
        let (bounds, is_complete) = last.filter(|(bounds, _)| bounds.holds(time)).unwrap_or_else(|| {
            let bounds = day_bounds(class, time);
            (bounds, day_complete_at(class, bounds.date) - CLOCK_SKEW <= now)
        });
        *last = Some((bounds, is_complete));
        if is_complete {
            days.insert((symbol, bounds.date));
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_marked_once_it_is_complete_by_a_clock_that_is_ahead() {
        let time = |text: &str| -> DateTime<Utc> { text.parse().expect("a time") };
        let (apple, bitcoin) =
            (Symbol::parse("AAPL").expect("a symbol"), Symbol::parse("BTC/USDT").expect("a symbol"));
        let stored = [
            (apple, time("2026-01-13T20:59:00Z")),
            (bitcoin, time("2026-01-13T20:59:00Z")),
            (apple, time("2026-01-12T20:59:00Z")),
            (apple, time("2026-01-12T21:30:00Z")),
        ];
        let days = |now: &str| -> Vec<String> {
            let days = complete_days(stored, time(now));
            days.into_iter().map(|(symbol, date)| format!("{symbol} {date}")).collect()
        };
        assert_eq!(days("2026-01-13T21:04:59Z"), ["AAPL 2026-01-12"]);
        assert_eq!(days("2026-01-13T21:05:00Z"), ["AAPL 2026-01-12", "AAPL 2026-01-13"]);
        assert_eq!(
            days("2026-01-14T00:05:00Z"),
            ["AAPL 2026-01-12", "AAPL 2026-01-13", "BTC/USDT 2026-01-13"]
        );
    }
}
