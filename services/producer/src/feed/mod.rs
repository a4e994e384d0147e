//! One file or folder per feed. A feed's parser is pure and stands apart from its connection.

pub(crate) mod binance;
pub(crate) mod coinbase;
pub(crate) mod replay;
pub(crate) mod rest;
pub(crate) mod simulated;
pub(crate) mod yahoo;

use chrono::{DateTime, Utc};

/// Whole microseconds, as times are kept.
pub(crate) fn micros(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}
