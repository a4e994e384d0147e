//! The port: what an adapter does with the rows of any table.

use async_trait::async_trait;
use chrono::NaiveDate;
use market::Symbol;

use crate::{
    Result,
    cell::{Cell, Table},
};

/// Which rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowQuery {
    /// Of this symbol; of all where `None`, and where the table has none.
    pub symbol: Option<Symbol>,
    /// From this date, inclusive.
    pub from: NaiveDate,
    /// To this date, inclusive.
    pub to: NaiveDate,
    /// Only rows before this one in their order, such as the first of a page that was read; of tables with a symbol.
    pub before: Option<(NaiveDate, Symbol)>,
    /// At most so many of the newest.
    pub limit: u32,
}

impl RowQuery {
    /// Rows that one query returns at most.
    pub const MAX: u32 = 100_000;

    /// The newest rows of a symbol, or of all.
    pub fn newest(symbol: Option<Symbol>, limit: u32) -> Self {
        Self { symbol, from: FIRST, to: LAST, before: None, limit }
    }
}

/// Dates that every database stores.
pub(crate) const FIRST: NaiveDate = NaiveDate::from_ymd_opt(1000, 1, 1).expect("a date");
pub(crate) const LAST: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 31).expect("a date");

/// Rows of one table to store.
#[derive(Debug)]
pub(crate) struct TableRows {
    pub(crate) table: Table,
    pub(crate) rows: Vec<Vec<Cell>>,
}

/// A database with the tables of the store.
///
/// # Contract
/// Numbers come back as they went in: decimals with up to 8 places and 15 significant digits, floats exactly.
#[async_trait]
pub(crate) trait Database: Send + Sync {
    /// Rows by the order of their table, ascending; the newest `limit`.
    async fn select(&self, table: Table, query: &RowQuery) -> Result<Vec<Vec<Cell>>>;

    /// Begins a transaction. What is not committed is not stored.
    async fn begin(&self) -> Result<Box<dyn Transaction + '_>>;

    /// Ends all connections; an embedded database is then one whole file. Later calls fail.
    async fn close(&self) -> Result<()>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<()>;
}

/// What is stored whole or not at all.
#[async_trait]
pub(crate) trait Transaction: Send {
    /// As [`Database::select`], with what this transaction has stored.
    async fn select(&mut self, table: Table, query: &RowQuery) -> Result<Vec<Vec<Cell>>>;

    /// Stores rows, at least one, replacing those of the same key.
    async fn upsert(&mut self, table: Table, rows: &[&Vec<Cell>]) -> Result<()>;

    /// Everything is stored when this has returned.
    async fn commit(self: Box<Self>) -> Result<()>;
}
