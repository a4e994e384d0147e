//! One run: which days are due, and their rows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use analytics_store::{AnalyticsStore, BatchRun, Changes, DailyAggregate, RowQuery, RunStatus};
use anyhow::{Context, bail};
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use futures_util::TryStreamExt;
use live_store::{CandleQuery, LiveStore, MAX_BEST_CANDLES, TickQuery, best_candles, ticks_of_day};
use market::{AssetClass, Candle, DayBounds, Interval, Symbol, day_bounds, decimal_to_f64, session};
use tokio_util::sync::CancellationToken;

use crate::{
    day::{Day, TickSums},
    history::{self, CLOSES},
    performance::{Closes, Market, standings},
};

/// A day is aggregated so long after its end: ticks arrive late.
pub(crate) const GRACE: TimeDelta = TimeDelta::minutes(10);
/// History of closes that standings need, in calendar days.
const STANDING_DAYS: u64 = 400;
/// Days of one symbol that one run makes up at most; the next run continues.
const MAX_DAYS: usize = 4_000;

/// Which days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Those without a row that have ended, and the newest that has one again.
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
}

/// The batch on its two stores.
#[derive(Clone)]
pub(crate) struct Night {
    pub(crate) store: Arc<dyn LiveStore>,
    pub(crate) analytics: Arc<AnalyticsStore>,
    /// Ends a run between two days.
    pub(crate) shutdown: CancellationToken,
}

/// When the trading day of a class can be aggregated: stocks after their session, crypto after midnight UTC. A stock's day without a
/// session ends at midnight in New York.
pub(crate) fn closes_at(class: AssetClass, date: NaiveDate) -> DateTime<Utc> {
    let end = match class {
        AssetClass::Stock => session(class, date).map(|session| session.close),
        AssetClass::Crypto => None,
    };
    end.unwrap_or_else(|| DayBounds::of(class, date).end) + GRACE
}

/// The newest trading day of a class that can be aggregated.
pub(crate) fn newest_closed(class: AssetClass, now: DateTime<Utc>) -> NaiveDate {
    let today = day_bounds(class, now).date;
    if closes_at(class, today) <= now { today } else { today.pred_opt().unwrap_or(today) }
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
        let newest = newest_closed(AssetClass::Crypto, now).max(newest_closed(AssetClass::Stock, now));
        let mut run = BatchRun {
            date: match request {
                Request::Due => newest,
                Request::Between(_, to) => to.min(newest),
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
        let mut oldest = None;
        for symbol in symbols {
            if self.shutdown.is_cancelled() {
                report
                    .failed
                    .push("stopped before all symbols were aggregated; the next run goes on".to_owned());
                break;
            }
            match self.aggregate_symbol(symbol, request, is_dry, now, &mut report).await {
                Ok(first) => oldest = [oldest, first].into_iter().flatten().min(),
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
        Ok(report)
    }

    /// Returns the oldest day that was computed.
    async fn aggregate_symbol(
        &self,
        symbol: Symbol,
        request: Request,
        is_dry: bool,
        now: DateTime<Utc>,
        report: &mut Report,
    ) -> anyhow::Result<Option<NaiveDate>> {
        let dates = self.dates(symbol, request, now, report).await?;
        let mut computed = Vec::new();
        for date in dates {
            if self.shutdown.is_cancelled() {
                bail!("stopped; what is stored stays, and the next run goes on");
            }
            computed.extend(self.day(symbol, date, now, report).await?);
        }
        let Some(oldest) = computed.first().map(|row| row.date) else { return Ok(None) };
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
        Ok(Some(oldest))
    }

    /// The trading days to compute, oldest first.
    async fn dates(
        &self,
        symbol: Symbol,
        request: Request,
        now: DateTime<Utc>,
        report: &mut Report,
    ) -> anyhow::Result<Vec<NaiveDate>> {
        let class = symbol.asset_class();
        let newest = newest_closed(class, now);
        let mut dates: Vec<NaiveDate> = match request {
            Request::Between(from, to) => {
                if to > newest {
                    let closes = closes_at(class, to).format("%Y-%m-%d %H:%M UTC");
                    report
                        .not_ended
                        .push(format!("{symbol} {to}: its day can be aggregated from {closes} on"));
                }
                from.iter_days().take_while(|date| *date <= to.min(newest)).collect()
            }
            Request::Due => {
                let stored = RowQuery { to: newest, ..RowQuery::newest(Some(symbol), RowQuery::MAX) };
                let stored: Vec<DailyAggregate> = self.analytics.rows(&stored).await?;
                let has_row = |date: &NaiveDate| stored.binary_search_by_key(date, |row| row.date).is_ok();
                let last = stored.last().map(|row| row.date);
                let traded = self.days_with_ticks(symbol, last, newest).await?;
                let quoted =
                    self.candles(symbol, Interval::Day, (DateTime::<Utc>::MIN_UTC, now), now).await?;
                let quoted =
                    quoted.iter().filter(|candle| candle.is_final).map(|candle| candle.time.date_naive());
                let quoted = quoted.filter(|date| *date <= newest && !has_row(date));
                last.into_iter().chain(traded).chain(quoted).collect()
            }
        };
        dates.sort_unstable();
        dates.dedup();
        dates.truncate(MAX_DAYS);
        Ok(dates)
    }

    /// The days that have ticks, from one on (or from the first), up to another. A query for each: years without ticks cost nothing.
    async fn days_with_ticks(
        &self,
        symbol: Symbol,
        since: Option<NaiveDate>,
        until: NaiveDate,
    ) -> anyhow::Result<Vec<NaiveDate>> {
        let class = symbol.asset_class();
        let mut from = since.map_or(DateTime::<Utc>::MIN_UTC, |since| DayBounds::of(class, since).start);
        let to = DayBounds::of(class, until).end;
        let mut days = Vec::new();
        while from < to && days.len() < MAX_DAYS {
            let query = TickQuery { symbol, from, to, limit: 1, cursor: None };
            let Some(first) = self.store.ticks(&query).await?.ticks.pop() else { break };
            let day = day_bounds(class, first.tick.timestamp);
            days.push(day.date);
            from = day.end;
        }
        Ok(days)
    }

    async fn candles(
        &self,
        symbol: Symbol,
        interval: Interval,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        now: DateTime<Utc>,
    ) -> anyhow::Result<Vec<Candle>> {
        let query = CandleQuery { symbol, interval, from, to, limit: MAX_BEST_CANDLES };
        Ok(best_candles(&*self.store, &query, &[], now).await?)
    }

    /// The row of a day, without indicators; `None` where nothing was traded.
    async fn day(
        &self,
        symbol: Symbol,
        date: NaiveDate,
        now: DateTime<Utc>,
        report: &mut Report,
    ) -> anyhow::Result<Option<DailyAggregate>> {
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
        Ok(Day { symbol, date, ticks: &ticks, candle, minutes: &minutes }.aggregate(now))
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
