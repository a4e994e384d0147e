//! Values between a row's type and a database.

use chrono::{DateTime, NaiveDate, Utc};
use market::Symbol;
use rust_decimal::Decimal;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Date,
    Text,
    Decimal,
    Double,
    Count,
    Time,
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// No value, of a column of this type.
    Null(Kind),
    Date(NaiveDate),
    Text(String),
    Decimal(Decimal),
    Double(f64),
    Count(i64),
    Time(DateTime<Utc>),
}

/// A table, as its adapters need it.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    pub(crate) name: &'static str,
    /// In the order of a row's cells.
    pub(crate) columns: &'static [(&'static str, Kind)],
    /// The primary key.
    pub(crate) key: &'static [&'static str],
    /// The columns by which rows are ordered; the first one, a date or a time, is that of a query's range.
    pub(crate) order: &'static [&'static str],
    /// A column that alone does not make two rows different.
    pub(crate) ignored: Option<&'static str>,
}

impl Table {
    pub(crate) fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|(name, _)| *name == column)
    }

    /// The values of the primary key.
    pub(crate) fn key_of(&self, cells: &[Cell]) -> Vec<Cell> {
        self.key.iter().filter_map(|column| cells.get(self.place(column)?).cloned()).collect()
    }

    /// Whether two rows of one key differ in more than the ignored column.
    pub(crate) fn differ(&self, a: &[Cell], b: &[Cell]) -> bool {
        let ignored = self.ignored.and_then(|column| self.place(column));
        a.len() != b.len()
            || a.iter().zip(b).enumerate().any(|(place, (a, b))| Some(place) != ignored && a != b)
    }
}

/// A row of one table.
pub trait Row: Sized + Send + Sync {
    /// Its table.
    const TABLE: Table;

    #[doc(hidden)]
    fn cells(&self) -> Cells;

    #[doc(hidden)]
    fn read(cells: &mut CellReader) -> Result<Self, BadRow>;
}

/// The cells of a row, in the order of the columns.
#[derive(Debug, Default)]
pub struct Cells(pub(crate) Vec<Cell>);

impl Cells {
    pub(crate) fn date(mut self, date: NaiveDate) -> Self {
        self.0.push(Cell::Date(date));
        self
    }

    pub(crate) fn text(mut self, text: impl ToString) -> Self {
        self.0.push(Cell::Text(text.to_string()));
        self
    }

    pub(crate) fn optional_text(mut self, text: Option<&str>) -> Self {
        self.0.push(text.map_or(Cell::Null(Kind::Text), |text| Cell::Text(text.to_owned())));
        self
    }

    pub(crate) fn decimal(mut self, decimal: impl Into<Option<Decimal>>) -> Self {
        self.0.push(decimal.into().map_or(Cell::Null(Kind::Decimal), |d| Cell::Decimal(d.normalize())));
        self
    }

    pub(crate) fn double(mut self, double: impl Into<Option<f64>>) -> Self {
        // MySQL has neither infinities nor NaN.
        let double = double.into().filter(|double| double.is_finite());
        self.0.push(double.map_or(Cell::Null(Kind::Double), Cell::Double));
        self
    }

    pub(crate) fn count(mut self, count: u64) -> Self {
        self.0.push(Cell::Count(i64::try_from(count).unwrap_or(i64::MAX)));
        self
    }

    pub(crate) fn optional_count(mut self, count: Option<u64>) -> Self {
        let Some(count) = count else {
            self.0.push(Cell::Null(Kind::Count));
            return self;
        };
        self.count(count)
    }

    pub(crate) fn time(mut self, time: impl Into<Option<DateTime<Utc>>>) -> Self {
        self.0.push(time.into().map_or(Cell::Null(Kind::Time), Cell::Time));
        self
    }
}

/// A stored row that cannot be what was written.
#[derive(Debug, thiserror::Error)]
#[error("a row of {table} is damaged: {column} {reason}")]
pub struct BadRow {
    table: &'static str,
    column: String,
    reason: String,
}

/// Reads the cells of a row in the order of the columns.
pub struct CellReader {
    table: Table,
    cells: std::vec::IntoIter<Cell>,
    place: usize,
}

impl CellReader {
    pub(crate) fn new(table: Table, cells: Vec<Cell>) -> Self {
        Self { table, cells: cells.into_iter(), place: 0 }
    }

    fn next<T>(&mut self, take: impl FnOnce(Cell) -> Result<T, String>) -> Result<T, BadRow> {
        let (column, kind) = self.table.columns.get(self.place).copied().unwrap_or(("?", Kind::Text));
        self.place += 1;
        take(self.cells.next().unwrap_or(Cell::Null(kind))).map_err(|reason| BadRow {
            table: self.table.name,
            column: column.to_owned(),
            reason,
        })
    }

    pub(crate) fn date(&mut self) -> Result<NaiveDate, BadRow> {
        self.next(|cell| match cell {
            Cell::Date(date) => Ok(date),
            other => Err(unexpected("a date", &other)),
        })
    }

    pub(crate) fn text(&mut self) -> Result<String, BadRow> {
        self.optional_text()?.map_or_else(|| self.again("a text"), Ok)
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, BadRow> {
        self.next(|cell| match cell {
            Cell::Text(text) => Ok(Some(text)),
            Cell::Null(_) => Ok(None),
            other => Err(unexpected("a text", &other)),
        })
    }

    pub(crate) fn parsed<T: std::str::FromStr>(&mut self, expected: &str) -> Result<T, BadRow> {
        self.next(|cell| match &cell {
            Cell::Text(text) => text.parse().map_err(|_| unexpected(expected, &cell)),
            other => Err(unexpected(expected, other)),
        })
    }

    pub(crate) fn symbol(&mut self) -> Result<Symbol, BadRow> {
        self.next(|cell| match cell {
            Cell::Text(text) => Symbol::parse(&text).map_err(|error| error.to_string()),
            other => Err(unexpected("a symbol", &other)),
        })
    }

    pub(crate) fn decimal(&mut self) -> Result<Decimal, BadRow> {
        self.optional_decimal()?.map_or_else(|| self.again("a number"), Ok)
    }

    pub(crate) fn optional_decimal(&mut self) -> Result<Option<Decimal>, BadRow> {
        self.next(|cell| match cell {
            Cell::Decimal(decimal) => Ok(Some(decimal)),
            Cell::Null(_) => Ok(None),
            other => Err(unexpected("a number", &other)),
        })
    }

    pub(crate) fn double(&mut self) -> Result<f64, BadRow> {
        self.optional_double()?.map_or_else(|| self.again("a number"), Ok)
    }

    pub(crate) fn optional_double(&mut self) -> Result<Option<f64>, BadRow> {
        self.next(|cell| match cell {
            Cell::Double(double) => Ok(Some(double)),
            Cell::Null(_) => Ok(None),
            other => Err(unexpected("a number", &other)),
        })
    }

    pub(crate) fn count(&mut self) -> Result<u64, BadRow> {
        self.optional_count()?.map_or_else(|| self.again("a whole number"), Ok)
    }

    pub(crate) fn optional_count(&mut self) -> Result<Option<u64>, BadRow> {
        self.next(|cell| match cell {
            Cell::Count(count) => {
                u64::try_from(count).map(Some).map_err(|_| format!("must not be negative, not {count}"))
            }
            Cell::Null(_) => Ok(None),
            other => Err(unexpected("a whole number", &other)),
        })
    }

    pub(crate) fn time(&mut self) -> Result<DateTime<Utc>, BadRow> {
        self.optional_time()?.map_or_else(|| self.again("a time"), Ok)
    }

    pub(crate) fn optional_time(&mut self) -> Result<Option<DateTime<Utc>>, BadRow> {
        self.next(|cell| match cell {
            Cell::Time(time) => Ok(Some(time)),
            Cell::Null(_) => Ok(None),
            other => Err(unexpected("a time", &other)),
        })
    }

    /// The error of the cell that was read last: it is NULL.
    fn again<T>(&self, expected: &str) -> Result<T, BadRow> {
        let column = self.table.columns.get(self.place.wrapping_sub(1)).map_or("?", |(name, _)| *name);
        let reason = format!("must be {expected}, not NULL");
        Err(BadRow { table: self.table.name, column: column.to_owned(), reason })
    }
}

fn unexpected(expected: &str, found: &Cell) -> String {
    format!("must be {expected}, not {found:?}")
}
