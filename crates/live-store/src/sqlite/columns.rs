//! Values of columns: what every noun binds and reads alike.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use market::{Symbol, decimal_from_f64};
use rust_decimal::Decimal;
use sqlx::{Row, error::BoxDynError, sqlite::SqliteRow};

use super::time_text::{self, TimeText};

/// A time as it is bound.
pub(crate) fn time(time: DateTime<Utc>) -> Result<Arc<str>, BoxDynError> {
    match TimeText::new(time) {
        Some(text) => Ok(text.as_str().into()),
        None => Err(format!("the time {time} is outside the years 0 to 9999").into()),
    }
}

/// A row that is nothing but a symbol.
pub(crate) fn symbol(row: &SqliteRow) -> Result<Symbol, BoxDynError> {
    text(row, "symbol", 0, Symbol::parse)
}

pub(crate) fn unsigned(row: &SqliteRow, at: usize) -> Result<u64, BoxDynError> {
    Ok(row.try_get::<i64, _>(at)?.cast_unsigned())
}

pub(crate) fn text<T, E: std::fmt::Display>(
    row: &SqliteRow,
    column: &str,
    at: usize,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, BoxDynError> {
    parse(row.try_get::<&str, _>(at)?).map_err(|error| format!("{column}: {error}").into())
}

/// A time that may be NULL.
pub(crate) fn optional_time(
    row: &SqliteRow,
    column: &str,
    at: usize,
) -> Result<Option<DateTime<Utc>>, BoxDynError> {
    match row.try_get::<Option<&str>, _>(at)? {
        Some(_) => read_time(row, column, at).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn read_time(row: &SqliteRow, column: &str, at: usize) -> Result<DateTime<Utc>, BoxDynError> {
    let text = row.try_get::<&str, _>(at)?;
    time_text::parse(text).ok_or_else(|| {
        let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
        format!("{column}: `{shown}` is no time like 2026-01-13T15:30:00.214000Z").into()
    })
}

pub(crate) fn decimal(row: &SqliteRow, column: &str, at: usize) -> Result<Decimal, BoxDynError> {
    exact(column, row.try_get(at)?)
}

/// A decimal that may be NULL.
pub(crate) fn optional_decimal(
    row: &SqliteRow,
    column: &str,
    at: usize,
) -> Result<Option<Decimal>, BoxDynError> {
    row.try_get::<Option<f64>, _>(at)?.map(|number| exact(column, number)).transpose()
}

fn exact(column: &str, number: f64) -> Result<Decimal, BoxDynError> {
    decimal_from_f64(number).ok_or_else(|| format!("{column}: {number} is no price or volume").into())
}

/// `(?, ?, …)`, `rows` times.
pub(crate) fn placeholders(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row; rows].join(",")
}
