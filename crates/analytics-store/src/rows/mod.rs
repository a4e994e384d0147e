//! One file for each table.

mod alert;
mod daily;
mod performance;
mod run;
mod weekly;

use market::decimal_to_f64;
use rust_decimal::Decimal;
use serde::Serializer;

pub use self::{
    alert::{AlertLogRow, AlertLogStatus},
    daily::DailyAggregate,
    performance::Performance,
    run::{BatchRun, RunStatus},
    weekly::WeeklyAggregate,
};

/// In JSON a decimal is a number.
fn number<S: Serializer>(decimal: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(decimal_to_f64(*decimal))
}

#[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
fn optional_number<S: Serializer>(decimal: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
    match decimal {
        Some(decimal) => number(decimal, serializer),
        None => serializer.serialize_none(),
    }
}
