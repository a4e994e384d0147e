//! Statements that both dialects read.

use std::collections::HashMap;

use chrono::NaiveTime;
use market::Symbol;

use crate::{
    RowQuery,
    cell::{Cell, Kind, Table},
    database::TableRows,
};

/// Rows of one statement.
pub(crate) const CHUNK: usize = 200;

/// Of a day; times are stored in microseconds.
const LAST_MICROSECOND: NaiveTime = NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).expect("a time");

/// The statement that finds the rows of a query, and its arguments.
pub(crate) fn select(table: Table, query: &RowQuery) -> (String, Vec<Cell>) {
    let columns: Vec<&str> = table.columns.iter().map(|(name, _)| *name).collect();
    let symbol = query.symbol.filter(|_| table.place("symbol").is_some());
    let of_symbol = if symbol.is_some() { "symbol = ? AND " } else { "" };
    let order: Vec<String> = table.order.iter().map(|column| format!("{column} DESC")).collect();
    let first = table.order.first().copied().unwrap_or_default();
    let before = before(table, query);
    let is_before = match before {
        Some(_) => format!(" AND ({first} < ? OR {first} = ? AND symbol < ?)"),
        None => String::new(),
    };
    let statement = format!(
        "SELECT {} FROM {} WHERE {of_symbol}{first} >= ? AND {first} <= ?{is_before} ORDER BY {} LIMIT ?",
        columns.join(", "),
        table.name,
        order.join(", ")
    );
    let limit = Cell::Count(i64::from(query.limit.min(RowQuery::MAX)));
    let symbol = symbol.map(|symbol| Cell::Text(symbol.to_string()));
    (
        statement,
        symbol
            .into_iter()
            .chain(range(table, query))
            .chain(before.into_iter().flatten())
            .chain([limit])
            .collect(),
    )
}

/// The ends of a query's range, both included, in the type of the column.
fn range(table: Table, RowQuery { from, to, .. }: &RowQuery) -> [Cell; 2] {
    let first = table.order.first().and_then(|column| table.place(column));
    let kind = first.and_then(|place| table.columns.get(place)).map(|(_, kind)| *kind);
    if kind != Some(Kind::Time) {
        return [Cell::Date(*from), Cell::Date(*to)];
    }
    [from.and_time(NaiveTime::MIN), to.and_time(LAST_MICROSECOND)].map(|time| Cell::Time(time.and_utc()))
}

/// The row before which those of the query are, where the table is ordered by date and symbol.
fn before(table: Table, query: &RowQuery) -> Option<[Cell; 3]> {
    let (date, symbol) = query.before.filter(|_| table.order.get(1) == Some(&"symbol"))?;
    Some([Cell::Date(date), Cell::Date(date), Cell::Text(symbol.to_string())])
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
    let dates = column(rows.table.order.first()?)?.filter_map(|cell| match cell {
        Cell::Date(date) => Some(*date),
        Cell::Time(time) => Some(time.date_naive()),
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
