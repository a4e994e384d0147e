//! Which days a run computes.

use analytics_store::{DailyAggregate, RowQuery};
use chrono::{DateTime, NaiveDate, Utc};
use live_store::TickQuery;
use market::{
    AssetClass, CandleOrigin, DayBounds, Interval, Symbol, closure, day_bounds, day_complete_at,
    newest_complete_day,
};

use crate::{
    day::has_prices_of,
    night::{Night, Report, Request},
};

/// Days of one symbol that one run makes up at most; the next run continues.
const MAX_DAYS: usize = 4_000;

/// Why a day has no row.
pub(crate) fn reason_without_row(class: AssetClass, date: NaiveDate) -> String {
    match closure(class, date) {
        Some(reason) => format!("no session on {date}: {reason}"),
        None => format!("nothing stored of {date}: neither ticks nor a daily candle"),
    }
}

impl Night {
    /// The trading days to compute, oldest first.
    pub(crate) async fn dates(
        &self,
        symbol: Symbol,
        request: Request,
        now: DateTime<Utc>,
        report: &mut Report,
    ) -> anyhow::Result<Vec<NaiveDate>> {
        let class = symbol.asset_class();
        let newest = newest_complete_day(class, now);
        let mut dates: Vec<NaiveDate> = match request {
            Request::Between(from, to) => {
                if to > newest {
                    let complete = day_complete_at(class, to).format("%Y-%m-%d %H:%M UTC");
                    report
                        .not_ended
                        .push(format!("{symbol} {to}: its day can be aggregated from {complete} on"));
                }
                from.iter_days().take_while(|date| *date <= to.min(newest)).collect()
            }
            Request::Due => self.due(symbol, newest, now).await?,
        };
        dates.sort_unstable();
        dates.dedup();
        dates.truncate(MAX_DAYS);
        Ok(dates)
    }

    async fn due(
        &self,
        symbol: Symbol,
        newest: NaiveDate,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Vec<NaiveDate>> {
        let stored = RowQuery { to: newest, ..RowQuery::newest(Some(symbol), RowQuery::MAX) };
        let stored: Vec<DailyAggregate> = self.analytics.rows(&stored).await?;
        let row_of = |date: &NaiveDate| {
            stored.binary_search_by_key(date, |row| row.date).ok().and_then(|at| stored.get(at))
        };
        let last = stored.last().map(|row| row.date);
        let traded = self.days_with_ticks(symbol, last, newest).await?;
        let candles = self.candles(symbol, Interval::Day, (DateTime::<Utc>::MIN_UTC, now), now).await?;
        let quoted = candles.iter().filter(|candle| candle.is_final).filter_map(|candle| {
            let date = candle.time.date_naive();
            let is_due = match row_of(&date) {
                None => true,
                // A provider quotes the whole day, maybe later than its row was computed.
                Some(row) => candle.source.origin == CandleOrigin::Provider && !has_prices_of(row, candle),
            };
            is_due.then_some(date)
        });
        let stale = self.store.stale_days(symbol).await?.into_iter().map(|mark| mark.date);
        let dates = last.into_iter().chain(traded).chain(quoted).chain(stale);
        Ok(dates.filter(|date| *date <= newest).collect())
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
}
