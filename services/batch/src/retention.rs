//! Removes ticks and one-minute candles past the retention, of days that were aggregated and of no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use analytics_store::{AnalyticsStore, DailyAggregate, RowQuery};
use anyhow::{Context, bail};
use async_trait::async_trait;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use job_runner::{Job, MissedRuns, Schedule};
use live_store::{LiveStore, PruneRange, StoreSize, TICK_BYTES, TickQuery, settle_candles};
use market::{AssetClass, DayBounds, Symbol, closure, day_bounds, newest_complete_day};
use service_runtime::Component;
use tokio_util::sync::CancellationToken;

use crate::{config::RetentionSettings, metrics::Metrics};

/// Mails are kept for so many days after they became owed.
const MAIL_DAYS: i64 = 90;
/// Longest time of one run; what is left is removed by the next.
const LIMIT: Duration = Duration::from_mins(30);
/// Days of one symbol that one run looks at; the next run continues.
const MAX_DAYS: usize = 4_000;
/// Growth is the mean of so many days.
const GROWTH_DAYS: u64 = 7;

/// Removing, on its two stores.
#[derive(Clone)]
pub(crate) struct Retention {
    pub(crate) store: Arc<dyn LiveStore>,
    pub(crate) analytics: Arc<AnalyticsStore>,
    pub(crate) settings: RetentionSettings,
    /// Ends a run between two days.
    pub(crate) shutdown: CancellationToken,
}

/// What a run did and found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Removal {
    pub(crate) ticks: u64,
    pub(crate) minutes: u64,
    /// The size afterwards.
    pub(crate) bytes: u64,
    pub(crate) is_estimate: bool,
    /// Bytes of the ticks of a day, the mean of the last days.
    pub(crate) daily_growth: u64,
    /// Days past the retention that are kept because they are not aggregated.
    pub(crate) waiting: BTreeSet<(NaiveDate, Symbol)>,
    /// The store is above its limit, and nothing is left that may be removed.
    pub(crate) is_above_limit: bool,
}

/// Which days of a symbol are aggregated, and stay as they are.
struct Aggregated {
    class: AssetClass,
    rows: BTreeSet<NaiveDate>,
    stale: BTreeSet<NaiveDate>,
}

impl Aggregated {
    /// A day without a session makes no row.
    fn has(&self, date: NaiveDate) -> bool {
        !self.stale.contains(&date) && (self.rows.contains(&date) || closure(self.class, date).is_some())
    }
}

impl Retention {
    pub(crate) async fn run(&self, now: DateTime<Utc>) -> anyhow::Result<Removal> {
        let mut removal = Removal::default();
        let before = now - TimeDelta::days(i64::from(self.settings.days()));
        for symbol in self.store.symbols().await.context("cannot read the symbols of the live store")? {
            self.remove_old(symbol, before, now, &mut removal)
                .await
                .with_context(|| format!("cannot remove old ticks of {symbol}"))?;
        }
        self.shrink(now, &mut removal).await?;
        removal.daily_growth = self.daily_growth(now).await?;
        Ok(removal)
    }

    /// Removes what happened and was stored before a time, whole days, oldest first.
    async fn remove_old(
        &self,
        symbol: Symbol,
        before: DateTime<Utc>,
        now: DateTime<Utc>,
        removal: &mut Removal,
    ) -> anyhow::Result<()> {
        let mut from = DateTime::<Utc>::MIN_UTC;
        let mut aggregated = None;
        for _ in 0..MAX_DAYS {
            let Some(day) = self.next_day(symbol, from).await?.filter(|day| day.end <= before) else { break };
            from = day.end;
            if aggregated.is_none() {
                aggregated = Some(self.aggregated(symbol, day.date).await?);
            }
            if aggregated.as_ref().is_some_and(|aggregated| aggregated.has(day.date)) {
                self.remove_day(symbol, &day, before, now, removal).await?;
            } else {
                removal.waiting.insert((day.date, symbol));
            }
        }
        Ok(())
    }

    /// Removes the oldest days of all symbols until the store is below its limit. The newest complete day stays: the next run of the
    /// batch reads it again.
    async fn shrink(&self, now: DateTime<Utc>, removal: &mut Removal) -> anyhow::Result<()> {
        let max = self.settings.max_bytes();
        let first = self.size().await?;
        (removal.bytes, removal.is_estimate) = (first.bytes, first.is_estimate);
        if first.bytes <= max {
            return Ok(());
        }
        let mut next: BTreeMap<(NaiveDate, Symbol), DayBounds> = BTreeMap::new();
        let mut aggregated: BTreeMap<Symbol, Aggregated> = BTreeMap::new();
        for symbol in self.store.symbols().await? {
            if let Some(day) = self.next_day(symbol, DateTime::<Utc>::MIN_UTC).await? {
                aggregated.insert(symbol, self.aggregated(symbol, day.date).await?);
                next.insert((day.date, symbol), day);
            }
        }
        while let Some(((date, symbol), day)) = next.pop_first() {
            if date >= newest_complete_day(symbol.asset_class(), now) {
                continue;
            }
            if aggregated.get(&symbol).is_some_and(|aggregated| aggregated.has(date)) {
                self.remove_day(symbol, &day, now, now, removal).await?;
            } else {
                removal.waiting.insert((date, symbol));
            }
            if let Some(following) = self.next_day(symbol, day.end).await? {
                next.insert((following.date, symbol), following);
            }
            // Rows fall at once, pages of a server maybe minutes later.
            let rows = self.size().await?.row_bytes as f64 / first.row_bytes.max(1) as f64;
            removal.bytes = (first.bytes as f64 * rows) as u64;
            if removal.bytes <= max {
                return Ok(());
            }
        }
        removal.is_above_limit = true;
        Ok(())
    }

    async fn size(&self) -> anyhow::Result<StoreSize> {
        self.store.size().await.context("cannot read the size of the live store")
    }

    /// The first trading day from a time on of which ticks or one-minute candles are stored.
    async fn next_day(&self, symbol: Symbol, from: DateTime<Utc>) -> anyhow::Result<Option<DayBounds>> {
        let query = TickQuery { symbol, from, to: DateTime::<Utc>::MAX_UTC, limit: 1, cursor: None };
        let tick = self.store.ticks(&query).await?.ticks.first().map(|stored| stored.tick.timestamp);
        let minute = self.store.oldest_minute(symbol, from).await?;
        let first = [tick, minute].into_iter().flatten().min();
        Ok(first.map(|first| day_bounds(symbol.asset_class(), first)))
    }

    async fn aggregated(&self, symbol: Symbol, from: NaiveDate) -> anyhow::Result<Aggregated> {
        // The marks first: a day that is marked later is computed again of what is left, and keeps what followed from the rest.
        let stale = self.store.stale_days(symbol).await?;
        let query = RowQuery { from, ..RowQuery::newest(Some(symbol), RowQuery::MAX) };
        let rows: Vec<DailyAggregate> = self.analytics.rows(&query).await?;
        Ok(Aggregated {
            class: symbol.asset_class(),
            rows: rows.into_iter().map(|row| row.date).collect(),
            stale: stale.into_iter().map(|mark| mark.date).collect(),
        })
    }

    /// Removes a day, after its wide candles were completed from its minutes.
    async fn remove_day(
        &self,
        symbol: Symbol,
        day: &DayBounds,
        stored_before: DateTime<Utc>,
        now: DateTime<Utc>,
        removal: &mut Removal,
    ) -> anyhow::Result<()> {
        if self.shutdown.is_cancelled() {
            bail!("stopped; the next run goes on");
        }
        let label = day.label();
        let (from, to) = (day.start.min(label), day.end.max(label + TimeDelta::seconds(1)));
        settle_candles(&*self.store, symbol, from, to, now).await?;
        let range = PruneRange { symbol, from: day.start, to: day.end, stored_before };
        let pruned = self.store.prune(&range).await?;
        removal.ticks += pruned.ticks;
        removal.minutes += pruned.candles;
        Ok(())
    }

    async fn daily_growth(&self, now: DateTime<Utc>) -> anyhow::Result<u64> {
        let to = newest_complete_day(AssetClass::Crypto, now);
        let from = to.checked_sub_days(Days::new(GROWTH_DAYS - 1)).unwrap_or(to);
        let rows = RowQuery { from, to, ..RowQuery::newest(None, RowQuery::MAX) };
        let rows: Vec<DailyAggregate> = self.analytics.rows(&rows).await?;
        let days: BTreeSet<NaiveDate> = rows.iter().map(|row| row.date).collect();
        let ticks: u64 = rows.iter().map(|row| row.ticks).sum();
        Ok((ticks * TICK_BYTES).checked_div(days.len() as u64).unwrap_or(0))
    }
}

impl Removal {
    /// Why the store is above its limit.
    pub(crate) fn problem(&self, settings: &RetentionSettings) -> Option<String> {
        self.is_above_limit.then(|| {
            format!(
                "{self}, above RETENTION_MAX_GB ({} GB), and no aggregated day is left that may be removed; raise it, watch fewer \
                 symbols, or see why the batch has not aggregated the others",
                settings.retention_max_gb
            )
        })
    }
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if self.is_estimate { "about " } else { "" };
        write!(f, "the live store has {about}{}", size_text(self.bytes))?;
        if self.daily_growth > 0 {
            write!(f, ", and gets about {} a day", size_text(self.daily_growth))?;
        }
        if let Some((date, symbol)) = self.waiting.first() {
            let count = self.waiting.len();
            write!(f, ", {count} old days are kept until they are aggregated, first {symbol} {date}")?;
        }
        Ok(())
    }
}

/// `1.23 GB`, `45.6 MB`.
fn size_text(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes >= 1e9 { format!("{:.2} GB", bytes / 1e9) } else { format!("{:.1} MB", bytes / 1e6) }
}

/// Removes once an hour.
pub(crate) struct RetentionJob {
    pub(crate) retention: Retention,
    pub(crate) schedule: Schedule,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) found: Arc<Found>,
}

/// What the last run found, for the health of the job.
#[derive(Debug, Default)]
pub(crate) struct Found(Mutex<String>);

impl Found {
    pub(crate) fn report(&self, health: &Component, state: Result<&str, &str>) {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match state {
            Ok(detail) if found.is_empty() => health.up(detail),
            Ok(detail) => health.up(&format!("{found}; {detail}")),
            Err(reason) => health.down(reason),
        }
    }
}

#[async_trait]
impl Job for RetentionJob {
    fn name(&self) -> &'static str {
        "retention"
    }

    fn schedule(&self) -> Schedule {
        self.schedule.clone()
    }

    /// One run removes what several missed ones would have.
    fn missed_runs(&self) -> MissedRuns {
        MissedRuns::MakeUpNewest
    }

    fn limit(&self) -> Duration {
        LIMIT
    }

    async fn run(&self, due: DateTime<Utc>) -> anyhow::Result<()> {
        let mails = self.retention.store.prune_mails(due - TimeDelta::days(MAIL_DAYS)).await;
        let mails = mails.map_err(anyhow::Error::from_boxed).context("cannot remove old mails")?;
        if mails > 0 {
            tracing::info!(mails, "removed mails past their retention");
        }
        let removal = self.retention.run(Utc::now()).await?;
        self.metrics.store_bytes.set(removal.bytes as f64);
        self.metrics.store_growth.set(removal.daily_growth as f64);
        if removal.ticks + removal.minutes > 0 {
            tracing::info!(
                ticks = removal.ticks,
                candles = removal.minutes,
                "removed what is past the retention"
            );
        }
        if !removal.waiting.is_empty() {
            tracing::warn!("{removal}");
        }
        *self.found.0.lock().unwrap_or_else(PoisonError::into_inner) = removal.to_string();
        match removal.problem(&self.retention.settings) {
            None => Ok(()),
            Some(problem) => bail!(problem),
        }
    }
}
