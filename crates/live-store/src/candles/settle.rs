//! Stores the wide candles of past days as they are put together of their minutes, before the minutes are pruned.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, CandleOrigin, CandleSource, Interval, Symbol, prefer};

use super::{CandleQuery, CandleStore, MAX_BEST_CANDLES, best_candles};
use crate::Result;

/// Days whose five-minute candles are read at once.
const STEP: TimeDelta = TimeDelta::days(7);

/// Stores the final candles wider than a minute that open in the range and differ from what is stored: a candle that was built
/// from ticks lacks what came before the building began, and gaps that the provider's history filled later. Returns how many.
///
/// # Errors
/// Those of [`CandleStore`].
pub async fn settle_candles(
    store: &dyn CandleStore,
    symbol: Symbol,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<u64> {
    let mut settled = 0;
    let mut begin = from;
    while begin < to {
        let end = (begin + STEP).min(to);
        for interval in Interval::ALL.into_iter().filter(|interval| *interval != Interval::Minute) {
            let query = CandleQuery { symbol, interval, from: begin, to: end, limit: MAX_BEST_CANDLES };
            let changed = differing(store, &query, now).await?;
            store.write_candles(&changed).await?;
            settled += changed.len() as u64;
        }
        begin = end;
    }
    Ok(settled)
}

/// The final candles that differ from the stored ones, under the source of the stored ones. A candle put together of a
/// provider's minutes is not one that the provider quoted: it may lack minutes.
async fn differing(store: &dyn CandleStore, query: &CandleQuery, now: DateTime<Utc>) -> Result<Vec<Candle>> {
    let best = best_candles(store, query, &[], now).await?;
    let stored = store.candles(query).await?;
    let stored: HashMap<DateTime<Utc>, Candle> =
        prefer(&stored).into_iter().map(|candle| (candle.time, candle)).collect();
    let changed = best.into_iter().filter(|candle| candle.is_final).filter_map(|candle| {
        let held = stored.get(&candle.time);
        let built = CandleSource { origin: CandleOrigin::Ticks, ..candle.source };
        let source = held.map(|held| held.source).filter(|source| source.origin == CandleOrigin::Ticks);
        let candle = if held == Some(&candle) { candle } else { candle.under(source.unwrap_or(built)) };
        (held != Some(&candle)).then_some(candle)
    });
    Ok(changed.collect())
}
