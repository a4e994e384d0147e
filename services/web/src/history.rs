//! Loads the live view from the store: at the start, and again later, because on a first run the store receives its
//! history while the pages are already served.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use live_store::{CandleQuery, LiveStore, LiveStoreError, TickQuery, best_candles};
use market::{Interval, Symbol};
use service_runtime::Component;
use tokio_util::sync::CancellationToken;

use crate::{
    catch_up::{self, LIMITS, LogEnds},
    live::Live,
    params::{far_future, far_past},
    sparkline::MAX_MINUTES,
};

/// Waits before the first repetitions, in seconds; then [`REPEAT_SECONDS`].
const EARLY_SECONDS: [u64; 3] = [3, 10, 30];
const REPEAT_SECONDS: u64 = 600;
/// Between two attempts while the store is away.
const RETRY_MS: u64 = 1_000;
/// The same while it could not be opened since the start.
const OPEN_RETRY_MS: u64 = 3_000;
/// Most ticks of the current minute that are read for one symbol.
const MAX_TICKS: usize = 5_000;

/// Opens the store and loads the live view from it, once it has what the log held at `ends`; tries again while the store is
/// unavailable, and reports that.
///
/// # Errors
/// An error of the store that does not pass by itself.
pub(crate) async fn open_and_load<F>(
    open: impl Fn() -> F,
    live: &Live,
    ends: &LogEnds,
    pages: &Component,
) -> anyhow::Result<Arc<dyn LiveStore>>
where
    F: Future<Output = Result<Arc<dyn LiveStore>, LiveStoreError>>,
{
    let mut opened: Option<Arc<dyn LiveStore>> = None;
    loop {
        let attempt = async {
            let store = match &opened {
                Some(store) => Arc::clone(store),
                None => open().await?,
            };
            let store = opened.insert(store);
            catch_up::wait_until_stored(&**store, ends, &LIMITS, pages).await?;
            load(live, &**store, Utc::now()).await?;
            Ok(Arc::clone(store))
        };
        match attempt.await {
            Ok(store) => return Ok(store),
            Err(error) if LiveStoreError::is_transient(&error) => {
                pages.down(&format!("waiting for the live store (--store, STORE_URL): {error}"));
                tracing::warn!(%error, "the live store is not available yet; trying again");
                tokio::time::sleep(Duration::from_millis(OPEN_RETRY_MS)).await;
            }
            Err(error) => {
                return Err(error).context("the live store cannot be opened and read (--store, STORE_URL)");
            }
        }
    }
}

/// Loads the latest tick, the minute in progress and the last day of every symbol.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn load(
    live: &Live,
    store: &dyn LiveStore,
    now: DateTime<Utc>,
) -> Result<(), LiveStoreError> {
    let latest = store.latest_ticks().await?;
    for stored in &latest {
        live.quotes().show(&stored.tick, now);
    }
    // Built last, so that a second attempt after an error does not count them twice.
    let mut of_this_minute = Vec::new();
    for stored in &latest {
        let from = Interval::Minute.floor(now);
        // A symbol without ticks in this minute has no candle in progress.
        if stored.tick.timestamp >= from {
            let symbol = stored.tick.symbol;
            let query =
                TickQuery { symbol, from, to: now + TimeDelta::minutes(1), limit: MAX_TICKS, cursor: None };
            of_this_minute.extend(store.ticks(&query).await?.ticks);
        }
    }
    load_days(live, store).await?;
    for early in of_this_minute {
        live.quotes().build(&early.tick, now);
    }
    live.quotes().end_loading();
    Ok(())
}

async fn load_days(live: &Live, store: &dyn LiveStore) -> Result<(), LiveStoreError> {
    let symbols = live.quotes().symbols();
    for symbol in symbols {
        load_day(live, store, symbol).await?;
    }
    Ok(())
}

async fn load_day(live: &Live, store: &dyn LiveStore, symbol: Symbol) -> Result<(), LiveStoreError> {
    let query = CandleQuery {
        symbol,
        interval: Interval::Minute,
        from: far_past(),
        to: far_future(),
        limit: MAX_MINUTES,
    };
    let now = Utc::now();
    let candles = best_candles(store, &query, &[], now).await?;
    let mut quotes = live.quotes();
    for candle in candles.iter().filter(|candle| candle.is_final) {
        quotes.apply_candle(candle, now);
    }
    Ok(())
}

/// Loads the last day of every symbol again and again, until the shutdown.
///
/// # Errors
/// An error of the store that does not pass by itself.
pub(crate) async fn reload(
    live: Arc<Live>,
    store: Arc<dyn LiveStore>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut early = EARLY_SECONDS.into_iter();
    loop {
        let mut wait = Duration::from_secs(early.next().unwrap_or(REPEAT_SECONDS));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            match load_days(&live, &*store).await {
                Ok(()) => break,
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "the candles of the last day were not read; trying again");
                    wait = Duration::from_millis(RETRY_MS);
                }
                Err(error) => return Err(error).context("the candles of the last day cannot be read"),
            }
        }
    }
}
