//! The standing of every symbol on a date, from daily closes. Pure.

use std::collections::BTreeMap;

use analytics_store::Performance;
use chrono::{Datelike, Days, NaiveDate};
use indicators::{Deviation, deviation, log_return, simple_return};
use market::{AssetClass, Symbol};

/// Daily returns of the volatility and of the Sharpe ratio.
const RETURNS: usize = 30;
/// Calendar days of drawdown and beta.
const QUARTER_DAYS: u64 = 90;
/// Returns that both series must have for a beta.
const MIN_BETA_RETURNS: usize = 20;

/// The closes of one symbol, by date.
pub(crate) type Closes = BTreeMap<NaiveDate, f64>;

/// The closes of all symbols.
pub(crate) type Market = BTreeMap<Symbol, Closes>;

/// The rows of every symbol that has a close on the date.
pub(crate) fn standings(market: &Market, date: NaiveDate) -> Vec<Performance> {
    let mut rows: Vec<Performance> = market
        .iter()
        .filter(|(_, closes)| closes.contains_key(&date))
        .map(|(symbol, closes)| Performance {
            beta_90d: beta(market, *symbol, date),
            ..standing(*symbol, closes, date)
        })
        .collect();
    let mut ranked: Vec<f64> = rows.iter().filter_map(|row| row.return_30d).collect();
    ranked.sort_by(|a, b| b.total_cmp(a));
    for row in &mut rows {
        // Equal returns have equal ranks.
        let rank = row.return_30d.map(|own| ranked.iter().filter(|other| **other > own).count() as u64 + 1);
        row.rank_30d = rank;
    }
    rows
}

fn standing(symbol: Symbol, closes: &Closes, date: NaiveDate) -> Performance {
    let close = closes.get(&date).copied();
    let since = |before: Option<f64>| {
        close.zip(before).and_then(|(close, before)| simple_return(before, close)).map(percent)
    };
    let at_least = |days: u64| date.checked_sub_days(Days::new(days)).and_then(|then| newest(closes, then));
    let end_of_last_year = NaiveDate::from_ymd_opt(date.year() - 1, 12, 31);
    let returns = last_returns(closes, date);
    let days = days_a_year(symbol.asset_class());
    let spread = deviation(&returns, Deviation::Sample).filter(|_| returns.len() == RETURNS);
    let mean = returns.iter().sum::<f64>() / returns.len().max(1) as f64;
    Performance {
        date,
        symbol,
        return_1d: since(closes.range(..date).next_back().map(|(_, close)| *close)),
        return_7d: since(at_least(7)),
        return_30d: since(at_least(30)),
        return_90d: since(at_least(90)),
        ytd_return: since(end_of_last_year.and_then(|end| newest(closes, end))),
        volatility_30d: spread.map(|spread| percent(spread * days.sqrt())),
        max_drawdown_90d: drawdown(closes, date).map(percent),
        sharpe_30d: spread.filter(|spread| *spread > 0.0).map(|spread| mean / spread * days.sqrt()),
        beta_90d: None,
        rank_30d: None,
    }
}

fn percent(ratio: f64) -> f64 {
    ratio * 100.0
}

/// Trading days of a year.
fn days_a_year(class: AssetClass) -> f64 {
    match class {
        AssetClass::Stock => 252.0,
        AssetClass::Crypto => 365.0,
    }
}

/// The newest close up to a date.
fn newest(closes: &Closes, date: NaiveDate) -> Option<f64> {
    closes.range(..=date).next_back().map(|(_, close)| *close)
}

/// The last daily log returns up to a date, at most [`RETURNS`].
fn last_returns(closes: &Closes, date: NaiveDate) -> Vec<f64> {
    let newest: Vec<f64> = closes.range(..=date).rev().take(RETURNS + 1).map(|(_, close)| *close).collect();
    // Newest first.
    newest.iter().skip(1).zip(&newest).filter_map(|(before, close)| log_return(*before, *close)).collect()
}

/// The greatest fall from a high, as a ratio, 0 or less; `None` for a single close.
fn drawdown(closes: &Closes, date: NaiveDate) -> Option<f64> {
    let from = date.checked_sub_days(Days::new(QUARTER_DAYS))?;
    let within: Vec<f64> = closes.range(from..=date).map(|(_, close)| *close).collect();
    if within.len() < 2 {
        return None;
    }
    let mut high = f64::MIN;
    let falls = within.into_iter().map(|close| {
        high = high.max(close);
        close / high - 1.0
    });
    falls.min_by(f64::total_cmp)
}

/// The returns of a symbol by date, within the quarter before a date.
fn returns_by_date(closes: &Closes, date: NaiveDate) -> BTreeMap<NaiveDate, f64> {
    let Some(from) = date.checked_sub_days(Days::new(QUARTER_DAYS)) else { return BTreeMap::new() };
    let days: Vec<(NaiveDate, f64)> = closes.range(from..=date).map(|(day, close)| (*day, *close)).collect();
    let pairs = days.iter().zip(days.iter().skip(1));
    pairs.filter_map(|((_, before), (day, close))| Some((*day, simple_return(*before, *close)?))).collect()
}

/// Covariance with the mean return of the other symbols of the class over its variance; `None` where fewer than
/// [`MIN_BETA_RETURNS`] days have both.
fn beta(market: &Market, symbol: Symbol, date: NaiveDate) -> Option<f64> {
    let own = returns_by_date(market.get(&symbol)?, date);
    let others: Vec<BTreeMap<NaiveDate, f64>> = market
        .iter()
        .filter(|(other, _)| **other != symbol && other.asset_class() == symbol.asset_class())
        .map(|(_, closes)| returns_by_date(closes, date))
        .collect();
    let mean_of_others = |day: &NaiveDate| {
        let found: Vec<f64> = others.iter().filter_map(|returns| returns.get(day).copied()).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    };
    let pairs: Vec<(f64, f64)> =
        own.iter().filter_map(|(day, own)| Some((*own, mean_of_others(day)?))).collect();
    if pairs.len() < MIN_BETA_RETURNS {
        return None;
    }
    let count = pairs.len() as f64;
    let own_mean = pairs.iter().map(|(own, _)| own).sum::<f64>() / count;
    let mean = pairs.iter().map(|(_, other)| other).sum::<f64>() / count;
    let covariance: f64 = pairs.iter().map(|(own, other)| (own - own_mean) * (other - mean)).sum();
    let variance: f64 = pairs.iter().map(|(_, other)| (other - mean).powi(2)).sum();
    (variance > 0.0).then(|| covariance / variance)
}
