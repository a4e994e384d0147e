//! One run: which days are due, and their rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use analytics_store::{AnalyticsStore, BatchRun, Changes, DailyAggregate, RowQuery, RunStatus};
use anyhow::{Context, bail};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use futures_util::TryStreamExt;
use live_store::{CandleQuery, LiveStore, MAX_BEST_CANDLES, StaleDay, best_candles, ticks_of_day};
use market::{AssetClass, Candle, DayBounds, Interval, Symbol, decimal_to_f64, newest_complete_day, session};
use tokio_util::sync::CancellationToken;

use crate::{
    day::{self, ComputedDay, Day, TickSums},
    due,
    history::{self, CLOSES},
    metrics::Metrics,
    performance::{Closes, Market, standings},
};

/// History of closes that standings need, in calendar days.
const STANDING_DAYS: u64 = 400;
/// Which days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Those that are complete and have no row, those that are marked as stale or whose daily candle was quoted since, and the
    /// newest that has a row.
    Due,
    /// Those from a date to a date, both included.
    Between(NaiveDate, NaiveDate),
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// The rows that were computed, by symbol and date.
    pub(crate) rows: Vec<DailyAggregate>,
    /// Ticks read.
    pub(crate) ticks_read: u64,
    /// Rows of all tables that were new or differed.
    pub(crate) rows_written: u64,
    /// Symbols that failed, with the reason.
    pub(crate) failed: Vec<String>,
    /// Days that were asked for and have not ended.
    pub(crate) not_ended: Vec<String>,
    /// Symbols without a row on the one day that was asked for, by the reason.
    pub(crate) without_row: BTreeMap<String, Vec<Symbol>>,
}

/// What was done of one symbol.
#[derive(Default)]
struct SymbolDone {
    /// The oldest day that standings depend on.
    oldest: Option<NaiveDate>,
    /// The marks of the days that were computed.
    marks: Vec<StaleDay>,
}

/// The batch on its two stores.
#[derive(Clone)]
pub(crate) struct Night {
    pub(crate) store: Arc<dyn LiveStore>,
    pub(crate) analytics: Arc<AnalyticsStore>,
    /// Ends a run between two days.
    pub(crate) shutdown: CancellationToken,
    /// Where runs are shown.
    pub(crate) metrics: Option<Arc<Metrics>>,
}

impl Night {
    /// Runs, and records the run.
    pub(crate) async fn run(
        &self,
        request: Request,
        only: Option<Symbol>,
        is_dry: bool,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Report> {
        let newest =
            newest_complete_day(AssetClass::Crypto, now).max(newest_complete_day(AssetClass::Stock, now));
        let mut run = BatchRun {
            date: match request {
                Request::Due => newest,
                Request::Between(from, to) => to.min(newest).max(from),
            },
            started_at: now,
            finished_at: None,
            status: RunStatus::Running,
            symbols: 0,
            ticks_read: 0,
            rows_written: 0,
            error: None,
        };
        if !is_dry {
            self.record(&run).await?;
        }
        let done = self.aggregate(request, only, is_dry, now).await;
        run.finished_at = Some(Utc::now().max(now));
        match &done {
            Ok(report) => {
                let symbols: BTreeSet<_> = report.rows.iter().map(|row| row.symbol).collect();
                run.symbols = symbols.len() as u64;
                run.ticks_read = report.ticks_read;
                run.rows_written = report.rows_written;
                run.status = if report.failed.is_empty() { RunStatus::Done } else { RunStatus::Failed };
                run.error = (!report.failed.is_empty()).then(|| report.failed.join("; "));
            }
            Err(error) => (run.status, run.error) = (RunStatus::Failed, Some(format!("{error:#}"))),
        }
        if !is_dry {
            self.record(&run).await?;
        }
        if let Some(metrics) = &self.metrics {
            metrics.take_run(&run);
        }
        done
    }

    async fn record(&self, run: &BatchRun) -> anyhow::Result<()> {
        let changes = Changes::default().with(std::slice::from_ref(run));
        self.analytics.store(changes).await.map(drop).context("cannot record the run")
    }

    async fn aggregate(
        &self,
        request: Request,
        only: Option<Symbol>,
        is_dry: bool,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Report> {
        let known = self.store.symbols().await.context("cannot read the symbols of the live store")?;
        let symbols: Vec<Symbol> = match only {
            Some(symbol) if !known.contains(&symbol) => {
                bail!("the live store has neither ticks nor candles of {symbol}")
            }
            Some(symbol) => vec![symbol],
            None => known,
        };
        let mut report = Report::default();
        let (mut oldest, mut marks) = (None, Vec::new());
        for symbol in symbols {
            if self.shutdown.is_cancelled() {
                report
                    .failed
                    .push("stopped before all symbols were aggregated; the next run goes on".to_owned());
                break;
            }
            match self.aggregate_symbol(symbol, request, is_dry, now, &mut report).await {
                Ok(done) => {
                    oldest = [oldest, done.oldest].into_iter().flatten().min();
                    marks.extend(done.marks);
                }
                // One symbol that fails does not stop the others.
                Err(error) => {
                    tracing::error!(%symbol, error = format!("{error:#}"), "a symbol was not aggregated");
                    report.failed.push(format!("{symbol}: {error:#}"));
                }
            }
        }
        if let Some(oldest) = oldest.filter(|_| !is_dry) {
            report.rows_written += self.stand(oldest).await?;
        }
        // Everything that depends on these days is stored now. What was marked again meanwhile stays marked.
        self.store.unmark_stale(&marks).await.context("cannot unmark the days that were computed")?;
        Ok(report)
    }

    async fn aggregate_symbol(
        &self,
        symbol: Symbol,
        request: Request,
        is_dry: bool,
        now: DateTime<Utc>,
        report: &mut Report,
    ) -> anyhow::Result<SymbolDone> {
        let dates = self.dates(symbol, request, now, report).await?;
        let (Some(oldest), Some(newest)) = (dates.first().copied(), dates.last().copied()) else {
            return Ok(SymbolDone::default());
        };
        let marks = if is_dry { Vec::new() } else { self.marks(symbol, &dates, now).await? };
        let range = RowQuery { from: oldest, to: newest, ..RowQuery::newest(Some(symbol), RowQuery::MAX) };
        let known: Vec<DailyAggregate> = self.analytics.rows(&range).await?;
        let mut computed = Vec::new();
        for date in &dates {
            if self.shutdown.is_cancelled() {
                bail!("stopped; what is stored stays, and the next run goes on");
            }
            let row = self.day(symbol, *date, now, report).await?;
            let known = known.binary_search_by_key(date, |row| row.date).ok().and_then(|at| known.get(at));
            computed.extend(day::with_pruned(row, known));
        }
        if computed.is_empty() {
            if oldest == newest && request != Request::Due {
                let reason = due::reason_without_row(symbol.asset_class(), oldest);
                report.without_row.entry(reason).or_default().push(symbol);
            }
            return Ok(SymbolDone { oldest: None, marks });
        }
        let mut rows = self.rows_since(symbol, oldest, &computed).await?;
        history::set_indicators(&mut rows, oldest);
        let is_new = |row: &&DailyAggregate| computed.iter().any(|other| other.date == row.date);
        report.rows.extend(rows.iter().filter(is_new).cloned());
        if !is_dry {
            let week = history::week_of(oldest);
            let of_weeks: Vec<_> = rows.iter().filter(|row| row.date >= week).cloned().collect();
            let days: Vec<_> = rows.into_iter().filter(|row| row.date >= oldest).collect();
            let changes = Changes::default().with(&days).with(&history::weeks(&of_weeks));
            report.rows_written += self.analytics.store(changes).await.context("cannot store its rows")?;
        }
        Ok(SymbolDone { oldest: Some(oldest), marks })
    }

    /// Marks the oldest of the days, so that a run that is killed before everything that depends on them is stored is repeated
    /// from there. Returns the marks of the days: with ticks that arrive from now on they are set again.
    async fn marks(
        &self,
        symbol: Symbol,
        dates: &[NaiveDate],
        now: DateTime<Utc>,
    ) -> anyhow::Result<Vec<StaleDay>> {
        let oldest = dates.iter().map(|date| (symbol, *date)).take(1).collect();
        self.store.mark_stale(&oldest, now).await.context("cannot mark the days that are computed")?;
        let mut marks = self.store.stale_days(symbol).await.context("cannot read the marked days")?;
        marks.retain(|mark| dates.binary_search(&mark.date).is_ok());
        Ok(marks)
    }

    pub(crate) async fn candles(
        &self,
        symbol: Symbol,
        interval: Interval,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        now: DateTime<Utc>,
    ) -> anyhow::Result<Vec<Candle>> {
        let query = CandleQuery { symbol, interval, from, to, limit: MAX_BEST_CANDLES };
        Ok(best_candles(&*self.store, &query, &[], now).await?)
    }

    /// The row of a day, without indicators, and what it was computed of; `None` where nothing was traded.
    async fn day(
        &self,
        symbol: Symbol,
        date: NaiveDate,
        now: DateTime<Utc>,
        report: &mut Report,
    ) -> anyhow::Result<Option<ComputedDay>> {
        let bounds = DayBounds::of(symbol.asset_class(), date);
        let label = bounds.label();
        let candle =
            self.candles(symbol, Interval::Day, (label, label + TimeDelta::seconds(1)), now).await?.pop();
        let has_session = session(symbol.asset_class(), date).is_some();
        let is_quoted = candle.is_some_and(|candle| candle.source.origin == market::CandleOrigin::Provider);
        if !has_session && !is_quoted {
            return Ok(None);
        }
        let mut ticks = TickSums::default();
        let mut stream = ticks_of_day(&*self.store, symbol, date);
        while let Some(stored) = stream.try_next().await.with_context(|| format!("the ticks of {date}"))? {
            ticks.add(&stored.tick);
        }
        report.ticks_read += ticks.count();
        let minutes = self.candles(symbol, Interval::Minute, (bounds.start, bounds.end), now).await?;
        let row = Day { symbol, date, ticks: &ticks, candle, minutes: &minutes }.aggregate(now);
        Ok(row.map(|row| ComputedDay { row, has_candle: candle.is_some(), has_minutes: !minutes.is_empty() }))
    }

    /// The rows of a symbol from the oldest computed one on, with the computed ones in their places, and what their indicators need
    /// from before.
    async fn rows_since(
        &self,
        symbol: Symbol,
        oldest: NaiveDate,
        computed: &[DailyAggregate],
    ) -> anyhow::Result<Vec<DailyAggregate>> {
        let all = RowQuery::newest(Some(symbol), RowQuery::MAX);
        let before = RowQuery {
            to: oldest.pred_opt().unwrap_or(oldest),
            // Also the days of its week.
            limit: CLOSES as u32 + 6,
            ..all
        };
        let after = RowQuery { from: oldest, ..all };
        let mut rows: BTreeMap<NaiveDate, DailyAggregate> = BTreeMap::new();
        for query in [before, after] {
            let stored: Vec<DailyAggregate> = self.analytics.rows(&query).await?;
            rows.extend(stored.into_iter().map(|row| (row.date, row)));
        }
        rows.extend(computed.iter().map(|row| (row.date, row.clone())));
        Ok(rows.into_values().collect())
    }

    /// Computes the standings of every symbol on every day from `oldest` on. Returns how many rows were written.
    async fn stand(&self, oldest: NaiveDate) -> anyhow::Result<u64> {
        let from = oldest.checked_sub_days(Days::new(STANDING_DAYS)).unwrap_or(oldest);
        let mut market = Market::new();
        for symbol in self.store.symbols().await? {
            let query = RowQuery { from, ..RowQuery::newest(Some(symbol), RowQuery::MAX) };
            let rows: Vec<DailyAggregate> = self.analytics.rows(&query).await?;
            let closes: Closes = rows.iter().map(|row| (row.date, decimal_to_f64(row.close_price))).collect();
            market.insert(symbol, closes);
        }
        let dates: BTreeSet<NaiveDate> =
            market.values().flat_map(|closes| closes.range(oldest..).map(|(date, _)| *date)).collect();
        let mut written = 0;
        for date in dates {
            let changes = Changes::default().with(&standings(&market, date));
            written += self.analytics.store(changes).await.context("cannot store the standings")?;
        }
        Ok(written)
    }
}
