//! The ticks of a trading day as a stream.

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use market::{DayBounds, Symbol};

use super::{StoredTick, TickQuery, TickStore};
use crate::{LiveStoreError, Result};

/// Ticks that are held in memory at a time.
const PAGE_TICKS: usize = 4000;

/// The ticks of one symbol on a trading date (New York's for stocks, UTC's for crypto, see [`DayBounds::of`]), by
/// (timestamp, source, seq). One page is held in memory. The stream ends with the first error, which is one of
/// [`TickStore::ticks`].
pub fn ticks_of_day(
    store: &dyn TickStore,
    symbol: Symbol,
    date: NaiveDate,
) -> BoxStream<'_, Result<StoredTick>> {
    let DayBounds { start, end, .. } = DayBounds::of(symbol.asset_class(), date);
    ticks_between(store, symbol, start, end)
}

/// The ticks of all symbols on a trading date: symbol by symbol in their order, each as [`ticks_of_day`] gives them.
pub fn all_ticks_of_day(store: &dyn TickStore, date: NaiveDate) -> BoxStream<'_, Result<StoredTick>> {
    stream::once(store.tick_symbols())
        .map_ok(move |symbols| {
            stream::iter(symbols).flat_map(move |symbol| ticks_of_day(store, symbol, date))
        })
        .try_flatten()
        .boxed()
}

fn ticks_between(
    store: &dyn TickStore,
    symbol: Symbol,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> BoxStream<'_, Result<StoredTick>> {
    let first = TickQuery { symbol, from, to, limit: PAGE_TICKS, cursor: None };
    stream::try_unfold(Some(first), move |query| async move {
        let Some(query) = query else { return Ok::<_, LiveStoreError>(None) };
        let page = store.ticks(&query).await?;
        let next = page.next_cursor.map(|cursor| TickQuery { cursor: Some(cursor), ..query });
        Ok(Some((stream::iter(page.ticks).map(Ok), next)))
    })
    .try_flatten()
    .boxed()
}
