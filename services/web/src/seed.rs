//! Fills the picture from the store: at the start, and a few times after it, because on a first run the store
//! receives its history while the pages are already up.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, LiveStore, LiveStoreError, TickQuery, best_candles};
use market::{Interval, Symbol};
use tokio_util::sync::CancellationToken;

use crate::{live::Live, params::far_future};

/// After the start, in seconds; then every [`REPEAT_SECONDS`].
const EARLY_SECONDS: [u64; 3] = [3, 10, 30];
const REPEAT_SECONDS: u64 = 600;
/// Between two tries while the store is away.
const RETRY_MS: u64 = 1_000;
/// Minutes of a day.
const MINUTES: usize = 1_440;
/// Most ticks of the current minute that are read for one symbol.
const MAX_TICKS: usize = 5_000;

/// Latest ticks, the minute in progress, and the day of every symbol.
pub(crate) async fn first(
    live: &Live,
    store: &dyn LiveStore,
    now: DateTime<Utc>,
) -> Result<(), LiveStoreError> {
    let latest = store.latest_ticks().await?;
    for stored in &latest {
        live.picture().show(&stored.tick);
    }
    for stored in &latest {
        let from = Interval::Minute.floor(now);
        // A symbol that has been quiet has no bar in progress.
        if stored.tick.timestamp >= from {
            let symbol = stored.tick.symbol;
            let query =
                TickQuery { symbol, from, to: now + TimeDelta::minutes(1), limit: MAX_TICKS, cursor: None };
            for early in store.ticks(&query).await?.ticks {
                live.picture().build(&early.tick, now);
            }
        }
    }
    days(live, store).await
}

/// The day of every symbol.
async fn days(live: &Live, store: &dyn LiveStore) -> Result<(), LiveStoreError> {
    let symbols = live.picture().symbols();
    for symbol in symbols {
        day(live, store, symbol).await?;
    }
    Ok(())
}

async fn day(live: &Live, store: &dyn LiveStore, symbol: Symbol) -> Result<(), LiveStoreError> {
    let query = CandleQuery {
        symbol,
        interval: Interval::Minute,
        from: DateTime::UNIX_EPOCH,
        to: far_future(),
        limit: MINUTES,
    };
    let bars = best_candles(store, &query, Utc::now()).await?;
    let mut picture = live.picture();
    for bar in bars.iter().filter(|bar| bar.is_final) {
        picture.apply_candle(bar);
    }
    Ok(())
}

/// Repeats until the shutdown.
pub(crate) async fn again(
    live: Arc<Live>,
    store: Arc<dyn LiveStore>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut waits = EARLY_SECONDS.into_iter();
    loop {
        let mut wait = Duration::from_secs(waits.next().unwrap_or(REPEAT_SECONDS));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            match days(&live, &*store).await {
                Ok(()) => break,
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "the day's bars were not read; tried again");
                    wait = Duration::from_millis(RETRY_MS);
                }
                Err(error) => return Err(error).context("the day's bars cannot be read"),
            }
        }
    }
}
