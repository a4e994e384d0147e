//! The candles that a chart shows: of every interval the best that is stored.

use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, CandleOrigin, Interval, day_bounds, prefer, widen};

use super::{CandleQuery, CandleStore};
use crate::Result;

/// More intervals than this are not composed at once; nor does a screen have more columns.
pub const MAX_BEST_CANDLES: usize = 5000;
/// Sources of candles for one symbol that are expected: two feeds, each with quoted candles and ticks.
const SOURCES: usize = 4;
/// One-minute candles read for one result; three weeks of one source around the clock.
const MAX_MINUTES: usize = 30_000;

/// The newest `limit` (at most [`MAX_BEST_CANDLES`]) intervals of a range, oldest first, one candle each: of the minute the
/// preferred one ([`market::prefer`]), of wider intervals what [`market::widen`] makes of the stored ones. Intervals without any
/// candle are left out. `live` are one-minute candles of the symbol that may not be stored yet.
///
/// # Errors
/// Those of [`CandleStore::candles`].
pub async fn best_candles(
    store: &dyn CandleStore,
    query: &CandleQuery,
    live: &[Candle],
    now: DateTime<Utc>,
) -> Result<Vec<Candle>> {
    let limit = query.limit.clamp(1, MAX_BEST_CANDLES);
    // The wide candles first: of one that is final, the minutes are stored by then.
    let mut candles = newest(store, query, limit * SOURCES + 1).await?.candles;
    let mut best = if query.interval == Interval::Minute {
        candles.extend(live);
        prefer(&candles)
    } else {
        // In order of time, as the store returned them.
        let quoted: Vec<_> = candles
            .iter()
            .filter(|candle| candle.is_final && candle.source.origin == CandleOrigin::Provider)
            .map(|candle| candle.time)
            .collect();
        let minutes = minutes_of(query, oldest_shown(&quoted, limit));
        let Newest { candles: mut minutes, cut } = newest(store, &minutes, MAX_MINUTES).await?;
        let oldest_minute = minutes.first().map(|minute| minute.time);
        minutes.extend(live);
        let mut minutes = prefer(&minutes);
        if cut && let Some(oldest) = oldest_minute {
            // Where the reading stopped, an interval may lack its beginning.
            minutes.retain(|minute| minute.time >= first_whole(query, oldest));
        }
        widen(&candles, &minutes, query.interval, now)
    };
    best.retain(|candle| query.from <= candle.time && candle.time < query.to);
    best.drain(..best.len().saturating_sub(limit));
    Ok(best)
}

/// The start of the first interval that begins after a minute.
fn first_whole(query: &CandleQuery, minute: DateTime<Utc>) -> DateTime<Utc> {
    match query.interval {
        Interval::Day => day_bounds(query.symbol.asset_class(), minute).end,
        interval => interval.floor(minute) + interval.duration(),
    }
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
