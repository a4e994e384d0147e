//! A store, page by page; with patience while it is away.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, LiveStore, LiveStoreError, StoredTick, TickQuery};
use market::{Candle, Interval, Symbol};

use crate::{ArchiveError, Result};

/// Rows that are read or written at once.
pub(crate) const PAGE_ROWS: usize = 5_000;
/// A store that is away is tried again so many times, with waits from [`RETRY_MIN_MS`], doubled each time.
const RETRIES: usize = 8;
const RETRY_MIN_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 5_000;

/// Repeats a call while the store is away, some ten seconds in all. A full disk is not waited for.
pub(crate) async fn patiently<T, F>(call: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T, LiveStoreError>>,
{
    let waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(RETRY_MIN_MS))
        .with_max_delay(Duration::from_millis(RETRY_MAX_MS))
        .with_max_times(RETRIES);
    call.retry(waits)
        .when(|error| error.is_transient() && !matches!(error, LiveStoreError::DiskFull { .. }))
        .await
        .map_err(ArchiveError::Store)
}

/// The ticks of one symbol and range, oldest first.
pub(crate) struct TickPages {
    query: TickQuery,
    ended: bool,
}

impl TickPages {
    pub(crate) fn new(
        symbol: Symbol,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        cursor: Option<String>,
    ) -> Self {
        Self { query: TickQuery { symbol, from, to, limit: PAGE_ROWS, cursor }, ended: false }
    }

    /// The next page; `None` at the end.
    pub(crate) async fn next(&mut self, store: &dyn LiveStore) -> Result<Option<Vec<StoredTick>>> {
        if self.ended {
            return Ok(None);
        }
        let page = patiently(|| store.ticks(&self.query)).await?;
        self.ended = page.next_cursor.is_none();
        self.query.cursor = page.next_cursor;
        Ok(Some(page.ticks))
    }

    /// Behind the last page; `None` at the end.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.query.cursor.as_deref()
    }
}

/// The time of a symbol's first tick of a range.
pub(crate) async fn first_tick(
    store: &dyn LiveStore,
    symbol: Symbol,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>> {
    if from >= to {
        return Ok(None);
    }
    let query = TickQuery { symbol, from, to, limit: 1, cursor: None };
    let page = patiently(|| store.ticks(&query)).await?;
    Ok(page.ticks.first().map(|row| row.tick.timestamp))
}

/// The bars of one symbol, width and range, newest first: the port gives the newest of a range.
pub(crate) struct CandlePages {
    query: CandleQuery,
    ended: bool,
}

impl CandlePages {
    pub(crate) fn new(symbol: Symbol, interval: Interval, from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self { query: CandleQuery { symbol, interval, from, to, limit: PAGE_ROWS }, ended: false }
    }

    /// The next page; `None` at the end. Bars of one moment are never on two pages.
    pub(crate) async fn next(&mut self, store: &dyn LiveStore) -> Result<Option<Vec<Candle>>> {
        if self.ended {
            return Ok(None);
        }
        let mut bars = patiently(|| store.candles(&self.query)).await?;
        self.ended = bars.len() < PAGE_ROWS;
        if !self.ended
            && let Some(oldest) = bars.first().map(|bar| bar.time)
        {
            // There may be more of this moment, cut off by the limit.
            bars.retain(|bar| bar.time != oldest);
            let Some(last) = bars.first() else {
                let reason = format!("{} has {PAGE_ROWS} bars of one moment", self.query.symbol);
                let error = LiveStoreError::Refused { place: "candles".to_owned(), reason };
                return Err(ArchiveError::Store(error));
            };
            self.query.to = last.time;
        }
        bars.reverse();
        Ok(Some(bars))
    }

    /// The next page ends before this; `None` at the end.
    pub(crate) fn before(&self) -> Option<DateTime<Utc>> {
        (!self.ended).then_some(self.query.to)
    }
}

/// The smallest range that holds both times, its end exclusive.
pub(crate) fn range_of(times: impl Iterator<Item = DateTime<Utc>> + Clone) -> (DateTime<Utc>, DateTime<Utc>) {
    let from = times.clone().min().unwrap_or_default();
    let last = times.max().unwrap_or_default();
    (from, last.checked_add_signed(TimeDelta::microseconds(1)).unwrap_or(last))
}
