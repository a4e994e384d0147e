//! What volume was usual before a day, computed once from stored candles and then kept as a fact.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use alert_rules::{BASELINE_SESSIONS, Baseline};
use chrono::{Days, Utc};
use live_store::{CandleQuery, LiveStore, LiveStoreError, MAX_CANDLES};
use market::{AssetClass, Candle, DayBounds, Interval, Source, Symbol, Tick, day_bounds, prefer};

/// Facts of this kind.
pub(crate) const PREFIX: &str = "volume:";

/// A baseline by symbol and feed, with the day for which it was made.
type Baselines = HashMap<(Source, Symbol), (DayBounds, Arc<Baseline>)>;

/// The newest baseline of each symbol and feed.
pub(crate) struct BaselineCache {
    store: Arc<dyn LiveStore>,
    newest: Mutex<Baselines>,
}

impl BaselineCache {
    pub(crate) fn new(store: Arc<dyn LiveStore>) -> Self {
        Self { store, newest: Mutex::default() }
    }

    /// The baseline of the tick's symbol, feed and day. The first one that was computed is used for ever, so that what is read again
    /// is judged alike, whatever candles were stored since.
    pub(crate) async fn of(&self, tick: &Tick) -> Result<Arc<Baseline>, LiveStoreError> {
        let key = (tick.source, tick.symbol);
        if let Some((day, baseline)) = self.newest.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && day.holds(tick.timestamp)
        {
            return Ok(Arc::clone(baseline));
        }
        let day = day_bounds(tick.asset_class(), tick.timestamp);
        let baseline = Arc::new(self.load(tick, &day).await?);
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.insert(key, (day, Arc::clone(&baseline)));
        Ok(baseline)
    }

    async fn load(&self, tick: &Tick, day: &DayBounds) -> Result<Baseline, LiveStoreError> {
        let id = format!("{PREFIX}{}:{}:{}", tick.source, tick.symbol, day.date);
        let stored = match self.store.alert_fact(&id).await? {
            Some(stored) => stored,
            None => {
                let computed = self.compute(tick, day).await?;
                let text = serde_json::to_string(&computed).map_err(|error| damaged(&id, &error))?;
                self.store.keep_alert_fact(&id, &text, Utc::now()).await?
            }
        };
        serde_json::from_str(&stored).map_err(|error| damaged(&id, &error))
    }

    async fn compute(&self, tick: &Tick, day: &DayBounds) -> Result<Baseline, LiveStoreError> {
        let class = tick.asset_class();
        let query = CandleQuery {
            symbol: tick.symbol,
            interval: Interval::FiveMinutes,
            from: day.start.checked_sub_days(lookback(class)).unwrap_or(day.start),
            to: day.start,
            limit: MAX_CANDLES,
        };
        let mut candles: Vec<Candle> = self.store.candles(&query).await?;
        // Volumes of different venues are not comparable.
        candles.retain(|candle| candle.is_final && candle.source.feed == tick.source);
        Ok(Baseline::before(class, day.date, &prefer(&candles)))
    }
}

/// Calendar days that have enough sessions: five of a week, less holidays.
fn lookback(class: AssetClass) -> Days {
    let sessions = BASELINE_SESSIONS as u64;
    match class {
        AssetClass::Crypto => Days::new(sessions),
        AssetClass::Stock => Days::new(sessions * 7 / 5 + 7),
    }
}

fn damaged(id: &str, error: &serde_json::Error) -> LiveStoreError {
    LiveStoreError::Refused { place: "alert_facts".to_owned(), reason: format!("{id} is damaged: {error}") }
}
