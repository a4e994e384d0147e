//! Daily candles of the past on request: the days that a symbol lacks, from its provider to the log.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use backon::{ExponentialBuilder, Retryable};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use market::{Candle, Interval, Symbol};
use service_runtime::{Latency, Runtime};
use topics::names::figure;

use crate::{
    feed::{DailyHistory, FEEDS, HistorySettings, OpenDaily, Prices, Span},
    metrics::FeedMetrics,
    publish::{Outlet, outlet},
    supervise::FeedError,
};

/// Gaps that so few days separate are requested as one.
const JOINED_GAP: TimeDelta = TimeDelta::days(30);
/// Between two requests.
const PAUSE_MS: u64 = 250;
/// A request that failed is repeated so often, after delays that double.
const RETRIES: usize = 3;
const RETRY_MIN_MS: u64 = 500;
/// A provider that requires a longer delay fails its symbol.
const MAX_RETRY_AFTER_SECONDS: u64 = 60;

/// The days that a symbol lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingDays {
    /// The symbol.
    pub symbol: Symbol,
    /// Its trading days without a candle.
    pub days: BTreeSet<NaiveDate>,
}

/// What became of the missing days of a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backfilled {
    /// The symbol.
    pub symbol: Symbol,
    /// Candles that are durable in the log.
    pub candles: u64,
    /// Why the others were not fetched; `None` where the provider has answered for all days, also with fewer candles.
    pub failure: Option<String>,
}

/// Fetches the missing days, symbol after symbol; candles of a symbol are durable in the log before the next one. A symbol that fails
/// does not stop the others. `done` receives each result.
///
/// # Errors
/// A log that fails for good, or a shutdown before the end.
pub async fn backfill_daily(
    settings: &HistorySettings,
    missing: &[MissingDays],
    runtime: &Runtime,
    mut done: impl FnMut(&Backfilled) + Send,
) -> anyhow::Result<Vec<Backfilled>> {
    let latency = Arc::new(Latency::new(figure::FEED_PUBLISHED));
    let metrics = FeedMetrics::new(&runtime.status, "backfill", &latency);
    // Candles are acknowledged one batch after the other.
    let (outlet, _) = outlet(runtime.log.publisher().context("cannot publish")?, metrics);
    let mut backfill = Backfill { settings, outlet, readers: BTreeMap::new() };
    let all = async {
        let mut results = Vec::new();
        for symbol in missing {
            let result = backfill.symbol(symbol).await?;
            done(&result);
            results.push(result);
        }
        Ok(results)
    };
    match runtime.shutdown.run_until_cancelled(all).await {
        Some(results) => results,
        None => bail!("stopped before the end; what was fetched stays, and the next run fetches the rest"),
    }
}

struct Backfill<'a> {
    settings: &'a HistorySettings,
    outlet: Outlet,
    /// By the name of the provider.
    readers: BTreeMap<&'static str, Box<dyn DailyHistory>>,
}

impl Backfill<'_> {
    async fn symbol(&mut self, MissingDays { symbol, days }: &MissingDays) -> anyhow::Result<Backfilled> {
        let mut result = Backfilled { symbol: *symbol, candles: 0, failure: None };
        for gap in gaps(days) {
            match self.fetch(*symbol, gap).await {
                Ok(mut candles) => {
                    candles.retain(|candle| {
                        candle.interval == Interval::Day && days.contains(&candle.time.date_naive())
                    });
                    self.outlet.send_candles(&candles).await?;
                    result.candles += candles.len() as u64;
                }
                Err(FeedError::Provider { reason, .. } | FeedError::Request { reason }) => {
                    result.failure = Some(reason);
                    break;
                }
                Err(FeedError::Fatal(error)) => return Err(error),
            }
        }
        Ok(result)
    }

    /// The candles of the first provider that has them.
    async fn fetch(&mut self, symbol: Symbol, gap: (NaiveDate, NaiveDate)) -> Result<Vec<Candle>, FeedError> {
        let class = Prices::Live(symbol.asset_class());
        let mut reasons = Vec::new();
        for feed in FEEDS.iter().filter(|feed| feed.prices == class) {
            let Some(open) = feed.daily else { continue };
            let reader = self.reader(feed.name, open)?;
            match fetch_from(reader, symbol, gap).await {
                Err(FeedError::Provider { reason, .. } | FeedError::Request { reason }) => {
                    reasons.push(format!("{}: {reason}", feed.name));
                }
                fetched => return fetched,
            }
        }
        if reasons.is_empty() {
            reasons.push("no provider has its daily candles".to_owned());
        }
        Err(FeedError::provider(reasons.join("; ")))
    }

    fn reader(&mut self, name: &'static str, open: OpenDaily) -> anyhow::Result<&dyn DailyHistory> {
        let reader = match self.readers.entry(name) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(open(self.settings)?),
        };
        Ok(&**reader)
    }
}

/// The daily candles of a gap, with some tries.
async fn fetch_from(
    reader: &dyn DailyHistory,
    symbol: Symbol,
    gap: (NaiveDate, NaiveDate),
) -> Result<Vec<Candle>, FeedError> {
    let span = span(gap);
    let request = async || {
        tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        reader.daily(symbol, span, Utc::now()).await
    };
    let delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(RETRY_MIN_MS))
        .with_max_times(RETRIES);
    request.retry(delays).when(|error| matches!(error, FeedError::Provider { .. })).adjust(delay_after).await
}

/// The delay before the next try: that of the provider if it requires one. `None` gives up.
fn delay_after(error: &FeedError, delay: Option<Duration>) -> Option<Duration> {
    let delay = delay?;
    match error {
        FeedError::Provider { retry_after: Some(required), .. } => {
            (*required <= Duration::from_secs(MAX_RETRY_AFTER_SECONDS)).then(|| delay.max(*required))
        }
        _ => Some(delay),
    }
}

/// From the beginning of the first day to the end of the last, as candles are labelled.
fn span((first, last): (NaiveDate, NaiveDate)) -> Span {
    let start = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc();
    let end = last.checked_add_days(Days::new(1)).map_or(DateTime::<Utc>::MAX_UTC, start);
    (start(first), end)
}

/// First and last days of what is to be requested.
fn gaps(days: &BTreeSet<NaiveDate>) -> Vec<(NaiveDate, NaiveDate)> {
    let mut gaps: Vec<(NaiveDate, NaiveDate)> = Vec::new();
    for day in days {
        match gaps.last_mut() {
            Some((_, last)) if *day - *last <= JOINED_GAP => *last = *day,
            _ => gaps.push((*day, *day)),
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    #[test]
    fn days_that_lie_close_together_are_one_request() {
        let days = ["2024-01-02", "2024-01-03", "2024-01-31", "2024-06-03", "2026-01-13"].map(date);
        let expected = [
            (date("2024-01-02"), date("2024-01-31")),
            (date("2024-06-03"), date("2024-06-03")),
            (date("2026-01-13"), date("2026-01-13")),
        ];
        assert_eq!(gaps(&days.into()), expected);
        assert_eq!(gaps(&BTreeSet::new()), []);
    }

    #[test]
    fn a_delay_that_the_provider_requires_is_kept_within_bounds() {
        let error = |seconds| FeedError::Provider {
            reason: String::new(),
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let second = Some(Duration::from_secs(1));
        assert_eq!(delay_after(&error(5), second), Some(Duration::from_secs(5)));
        assert_eq!(delay_after(&error(0), second), second);
        assert_eq!(delay_after(&error(61), second), None);
        assert_eq!(delay_after(&error(5), None), None, "no try is left");
        assert_eq!(delay_after(&FeedError::provider("away"), second), second);
    }
}
