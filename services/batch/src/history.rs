//! What follows from the rows of several days: indicators and weeks. Pure.

use std::{collections::BTreeMap, num::NonZeroUsize};

use analytics_store::{DailyAggregate, WeeklyAggregate};
use chrono::{Datelike, Days, NaiveDate};
use indicators::{Deviation, Rsi, Sma, deviation};
use market::decimal_to_f64;
use rust_decimal::Decimal;

/// Closes from which indicators that remember are computed: Wilder's index of 14 is then within a millionth, and a later backfill
/// changes a bounded number of rows.
pub(crate) const CLOSES: usize = 250;
const SMA: NonZeroUsize = NonZeroUsize::new(20).expect("above 0");
const RSI: NonZeroUsize = NonZeroUsize::new(14).expect("above 0");

/// Sets the indicators of the rows from `from` on. `rows` are those of one symbol, by date, with at least [`CLOSES`] - 1 before
/// `from` where there are as many.
pub(crate) fn set_indicators(rows: &mut [DailyAggregate], from: NaiveDate) {
    let closes: Vec<f64> = rows.iter().map(|row| decimal_to_f64(row.close_price)).collect();
    for (place, row) in rows.iter_mut().enumerate().filter(|(_, row)| row.date >= from) {
        let start = (place + 1).saturating_sub(CLOSES);
        let window = closes.get(start..=place).unwrap_or_default();
        let (mut sma, mut rsi) = (Sma::new(SMA), Rsi::new(RSI));
        row.sma_20 = window.iter().map(|close| sma.next(*close)).last().flatten();
        row.rsi_14 = window.iter().map(|close| rsi.next(*close)).last().flatten();
    }
}

/// Monday of the ISO week of a date.
pub(crate) fn week_of(date: NaiveDate) -> NaiveDate {
    date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday()))).unwrap_or(date)
}

/// The weeks of the rows of one symbol.
pub(crate) fn weeks(rows: &[DailyAggregate]) -> Vec<WeeklyAggregate> {
    let mut weeks: BTreeMap<NaiveDate, Vec<&DailyAggregate>> = BTreeMap::new();
    for row in rows {
        weeks.entry(week_of(row.date)).or_default().push(row);
    }
    weeks.into_iter().filter_map(|(start, days)| week(start, &days)).collect()
}

fn week(start: NaiveDate, days: &[&DailyAggregate]) -> Option<WeeklyAggregate> {
    let (first, last) = (days.first()?, days.last()?);
    let change = |row: &&&DailyAggregate| row.daily_change_pct;
    let by_change = |a: &&&DailyAggregate, b: &&&DailyAggregate| change(a).total_cmp(&change(b));
    let closes: Vec<f64> = days.iter().map(|row| decimal_to_f64(row.close_price)).collect();
    let mean: Decimal = days.iter().map(|row| row.avg_price).sum();
    Some(WeeklyAggregate {
        week_start: start,
        week_end: start.checked_add_days(Days::new(6))?,
        symbol: first.symbol,
        open_price: first.open_price,
        close_price: last.close_price,
        high_price: days.iter().map(|row| row.high_price).max()?,
        low_price: days.iter().map(|row| row.low_price).min()?,
        avg_price: (mean / Decimal::from(days.len())).round_dp(8).normalize(),
        total_volume: days.iter().map(|row| row.total_volume).sum(),
        volatility: deviation(&closes, Deviation::Sample),
        weekly_change_pct: (decimal_to_f64(last.close_price) / decimal_to_f64(first.open_price) - 1.0)
            * 100.0,
        // Of equal days the first.
        best_day: days.iter().rev().max_by(by_change)?.date,
        worst_day: days.iter().min_by(by_change)?.date,
        days: days.len() as u64,
    })
}
