//! Statements that both dialects read.

use std::collections::HashMap;

use chrono::NaiveDate;
use market::Symbol;

use crate::{
    RowQuery,
    cell::{Cell, Table},
    database::TableRows,
};

/// Rows of one statement.
pub(crate) const CHUNK: usize = 200;

/// The placeholders are symbol (where the query has one), from, to, those of [`before`], limit.
pub(crate) fn select(table: Table, query: &RowQuery) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let [first, second] = table.order;
    let symbol =
        if query.symbol.is_some() && table.place("symbol").is_some() { "symbol = ? AND " } else { "" };
    let before = match before(table, query) {
        Some(_) => format!(" AND ({first} < ? OR {first} = ? AND {second} < ?)"),
        None => String::new(),
    };
    format!(
        "SELECT {} FROM {} WHERE {symbol}{first} >= ? AND {first} <= ?{before} ORDER BY {first} DESC, {second} DESC LIMIT ?",
        columns.join(", "),
        table.name
    )
}

/// The row before which those of the query are, where the table is ordered by symbol.
pub(crate) fn before(table: Table, query: &RowQuery) -> Option<(NaiveDate, Symbol)> {
    query.before.filter(|_| table.order[1] == "symbol")
}

/// `INSERT INTO … VALUES (…), (…)`, without what happens to rows that are there.
pub(crate) fn insert(table: Table, rows: usize) -> String {
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let row = format!("({})", vec!["?"; columns.len()].join(","));
    format!("INSERT INTO {} ({}) VALUES {}", table.name, columns.join(", "), vec![row; rows].join(","))
}

/// The columns that are not in the key.
pub(crate) fn values(table: Table) -> impl Iterator<Item = &'static str> {
    table.columns.iter().map(|(name, _)| *name).filter(move |name| !table.key.contains(name))
}

/// The query that finds the stored rows of all keys.
pub(crate) fn stored(rows: &TableRows) -> Option<RowQuery> {
    let column = |name: &str| {
        let place = rows.table.place(name)?;
        Some(rows.rows.iter().filter_map(move |cells| cells.get(place)))
    };
    let dates = column(rows.table.order[0])?.filter_map(|cell| match cell {
        Cell::Date(date) => Some(*date),
        _ => None,
    });
    let (from, to) = dates.fold(None, |range, date| match range {
        None => Some((date, date)),
        Some((from, to)) => Some((date.min(from), date.max(to))),
    })?;
    let mut symbols = column("symbol").into_iter().flatten();
    let first = symbols.next();
    let only = first.filter(|first| symbols.all(|other| other == *first));
    let symbol = only.and_then(|cell| match cell {
        Cell::Text(text) => Symbol::parse(text).ok(),
        _ => None,
    });
    Some(RowQuery { symbol, from, to, before: None, limit: RowQuery::MAX })
}

/// The rows that are not stored yet, or differ from what is stored.
pub(crate) fn changed(rows: &TableRows, stored: Vec<Vec<Cell>>) -> Vec<&Vec<Cell>> {
    let table = rows.table;
    let key = |cells: &[Cell]| format!("{:?}", table.key_of(cells));
    let stored: HashMap<String, Vec<Cell>> = stored.into_iter().map(|cells| (key(&cells), cells)).collect();
    let differs =
        |cells: &&Vec<Cell>| stored.get(&key(cells)).is_none_or(|stored| table.differ(cells, stored));
    rows.rows.iter().filter(differs).collect()
}
