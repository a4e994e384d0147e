//! The analytics store: daily and weekly aggregates, performance, the log of alerts, and the runs of the batch. Each table is a type in `rows/`, which
//! names its columns once; two adapters read and write all of them, and pass one contract suite.

mod cell;
mod check;
mod database;
mod error;
mod mysql;
mod rows;
mod settings;
mod sql;
mod sqlite;
mod store;

pub use cell::{BadRow, Row};
pub use check::{StoreCheck, check};
pub use database::RowQuery;
pub use error::AnalyticsError;
pub use rows::{
    AlertLogRow, AlertLogStatus, BatchRun, DailyAggregate, Performance, RunStatus, WeeklyAggregate,
};
pub use settings::{AnalyticsPassword, AnalyticsSettings};
pub use store::{AnalyticsStore, Changes, open, open_for_reading};

/// Result of this crate.
pub type Result<T, E = AnalyticsError> = std::result::Result<T, E>;
