//! The bars a chart shows: of every bucket the best that is known.

use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, CandleOrigin, Interval, prefer, rollup};

use super::{CandleQuery, CandleStore};
use crate::Result;

/// More buckets than this are not composed at once; nor does a screen have more columns.
pub const MAX_BEST_CANDLES: usize = 5000;
/// Makers of bars for one symbol that are reckoned with: two feeds, each quoting and ticking.
const MAKERS: usize = 4;
/// One-minute bars read for one answer; three weeks of one maker around the clock.
const MAX_MINUTES: usize = 30_000;

/// The newest `limit` (at most [`MAX_BEST_CANDLES`]) buckets of a range, oldest first, one bar each: a provider's bar of
/// this width; else the one-minute bars put together (see [`market::prefer`] for which of them) or the stored bar built
/// from ticks, whichever knows more. Buckets without any bar are left out. `now` decides which are final.
///
/// # Errors
/// Those of [`CandleStore::candles`].
pub async fn best_candles(
    store: &dyn CandleStore,
    query: &CandleQuery,
    now: DateTime<Utc>,
) -> Result<Vec<Candle>> {
    let limit = query.limit.clamp(1, MAX_BEST_CANDLES);
    let mut bars = newest(store, query, limit * MAKERS + 1).await?.bars;
    if query.interval != Interval::Minute {
        // In order of time, as the store returned them.
        let quoted: Vec<_> = bars
            .iter()
            .filter(|bar| bar.source.origin == CandleOrigin::Provider)
            .map(|bar| bar.time)
            .collect();
        let minutes = minutes_of(query, oldest_shown(&quoted, limit));
        let Newest { bars: minutes, cut } = newest(store, &minutes, MAX_MINUTES).await?;
        let rolled = rollup(&prefer(&minutes), query.interval, now);
        // Where the reading stopped, a bucket may lack its beginning.
        let whole = rolled.into_iter().skip(usize::from(cut));
        bars.extend(whole.filter(|bar| quoted.binary_search(&bar.time).is_err()));
    }
    let mut best = prefer(&bars);
    best.retain(|bar| query.from <= bar.time && bar.time < query.to);
    best.drain(..best.len().saturating_sub(limit));
    Ok(best)
}

/// Nothing before the `limit`-th newest quoted bucket will be shown.
fn oldest_shown(quoted: &[DateTime<Utc>], limit: usize) -> Option<DateTime<Utc>> {
    let mut distinct = quoted.to_vec();
    distinct.dedup();
    distinct.len().checked_sub(limit).and_then(|at| distinct.get(at)).copied()
}

/// The minutes that the buckets of the range consist of. A trading day begins up to a day beside its label.
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
    bars: Vec<Candle>,
    /// There are more, further back.
    cut: bool,
}

/// The newest bars of a range; of the oldest moment all or none.
async fn newest(store: &dyn CandleStore, query: &CandleQuery, rows: usize) -> Result<Newest> {
    let mut bars = store.candles(&CandleQuery { limit: rows, ..query.clone() }).await?;
    let cut = bars.len() >= rows;
    if cut && let Some(oldest) = bars.first().map(|bar| bar.time) {
        bars.retain(|bar| bar.time != oldest);
    }
    Ok(Newest { bars, cut })
}
