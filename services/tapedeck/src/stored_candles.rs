//! Which candles a store has.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::Context;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use live_store::{CandleQuery, CandleStore, LiveStore, MAX_CANDLES};
use market::{Candle, CandleOrigin, Interval, Symbol};

/// How many of these candles are stored, whatever their prices.
pub(crate) async fn count_stored(store: &dyn LiveStore, candles: &[Candle]) -> anyhow::Result<u64> {
    let mut spans: HashMap<(Symbol, Interval), (DateTime<Utc>, DateTime<Utc>)> = HashMap::new();
    for candle in candles {
        let span = spans.entry((candle.symbol, candle.interval)).or_insert((candle.time, candle.time));
        *span = (span.0.min(candle.time), span.1.max(candle.time));
    }
    let id = |candle: &Candle| (candle.symbol, candle.interval, candle.time, candle.source);
    let mut stored = HashSet::new();
    for ((symbol, interval), (first, last)) in spans {
        let range = (first, last + TimeDelta::microseconds(1));
        stored.extend(stored_between(store, symbol, interval, range).await?.iter().map(id));
    }
    Ok(candles.iter().filter(|candle| stored.contains(&id(candle))).count() as u64)
}

/// The days from one on of which a provider's final daily candle is stored.
pub(crate) async fn quoted_days(
    store: &dyn LiveStore,
    symbol: Symbol,
    from: NaiveDate,
    now: DateTime<Utc>,
) -> anyhow::Result<BTreeSet<NaiveDate>> {
    let range = (from.and_time(chrono::NaiveTime::MIN).and_utc(), now);
    let candles = stored_between(store, symbol, Interval::Day, range).await?;
    let is_quoted = |candle: &&Candle| candle.is_final && candle.source.origin == CandleOrigin::Provider;
    Ok(candles.iter().filter(is_quoted).map(|candle| candle.time.date_naive()).collect())
}

async fn stored_between(
    store: &dyn LiveStore,
    symbol: Symbol,
    interval: Interval,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> anyhow::Result<Vec<Candle>> {
    let query = CandleQuery { symbol, interval, from, to, limit: MAX_CANDLES };
    CandleStore::candles(store, &query).await.context("cannot read the stored candles")
}
