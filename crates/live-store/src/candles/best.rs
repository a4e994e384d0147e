//! The candles that a chart shows: of every interval the best that is stored.

use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, CandleOrigin, Interval, prefer, rollup};

use super::{CandleQuery, CandleStore};
use crate::Result;

/// More intervals than this are not composed at once; nor does a screen have more columns.
pub const MAX_BEST_CANDLES: usize = 5000;
/// Sources of candles for one symbol that are expected: two feeds, each with quoted candles and ticks.
const SOURCES: usize = 4;
/// One-minute candles read for one result; three weeks of one source around the clock.
const MAX_MINUTES: usize = 30_000;

/// The newest `limit` (at most [`MAX_BEST_CANDLES`]) intervals of a range, oldest first, one candle each: a provider's candle of
/// this width; else the one-minute candles rolled up (see [`market::prefer`] for which of them) or the stored candle built
/// from ticks, whichever covers more. Intervals without any candle are left out. `now` decides which are final.
///
/// # Errors
/// Those of [`CandleStore::candles`].
pub async fn best_candles(
    store: &dyn CandleStore,
    query: &CandleQuery,
    now: DateTime<Utc>,
) -> Result<Vec<Candle>> {
    let limit = query.limit.clamp(1, MAX_BEST_CANDLES);
    let mut candles = newest(store, query, limit * SOURCES + 1).await?.candles;
    if query.interval != Interval::Minute {
        // In order of time, as the store returned them.
        let quoted: Vec<_> = candles
            .iter()
            .filter(|candle| candle.source.origin == CandleOrigin::Provider)
            .map(|candle| candle.time)
            .collect();
        let minutes = minutes_of(query, oldest_shown(&quoted, limit));
        let Newest { candles: minutes, cut } = newest(store, &minutes, MAX_MINUTES).await?;
        let rolled = rollup(&prefer(&minutes), query.interval, now);
        // Where the reading stopped, an interval may lack its beginning.
        let whole = rolled.into_iter().skip(usize::from(cut));
        candles.extend(whole.filter(|candle| quoted.binary_search(&candle.time).is_err()));
    }
    let mut best = prefer(&candles);
    best.retain(|candle| query.from <= candle.time && candle.time < query.to);
    best.drain(..best.len().saturating_sub(limit));
    Ok(best)
}

/// Nothing before the `limit`-th newest quoted interval will be shown.
fn oldest_shown(quoted: &[DateTime<Utc>], limit: usize) -> Option<DateTime<Utc>> {
    let mut distinct = quoted.to_vec();
    distinct.dedup();
    distinct.len().checked_sub(limit).and_then(|at| distinct.get(at)).copied()
}

/// The minutes that the intervals of the range consist of. A trading day begins up to a day beside its label.
fn minutes_of(query: &CandleQuery, oldest: Option<DateTime<Utc>>) -> CandleQuery {
    let margin = if query.interval == Interval::Day { TimeDelta::days(1) } else { TimeDelta::zero() };
    let from = oldest.map_or(query.from, |oldest| oldest.max(query.from));
    CandleQuery {
        interval: Interval::Minute,
        from: from.checked_sub_signed(margin).unwrap_or(from),
        to: query.to.checked_add_signed(query.interval.duration() + margin).unwrap_or(query.to),
        ..query.clone()
    }
}

struct Newest {
    candles: Vec<Candle>,
    /// There are more, further back.
    cut: bool,
}

/// The newest candles of a range; of the oldest moment all or none.
async fn newest(store: &dyn CandleStore, query: &CandleQuery, rows: usize) -> Result<Newest> {
    let mut candles = store.candles(&CandleQuery { limit: rows, ..query.clone() }).await?;
    let cut = candles.len() >= rows;
    if cut && let Some(oldest) = candles.first().map(|candle| candle.time) {
        candles.retain(|candle| candle.time != oldest);
    }
    Ok(Newest { candles, cut })
}
