//! The widths a candle comes in.

use std::{fmt, str::FromStr};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A candle's width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Interval {
    /// One minute.
    #[serde(rename = "1m")]
    Minute,
    /// Five minutes.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// Fifteen minutes.
    #[serde(rename = "15m")]
    FifteenMinutes,
    /// One hour.
    #[serde(rename = "1h")]
    Hour,
    /// Four hours, of UTC: from 00:00, 04:00, ...
    #[serde(rename = "4h")]
    FourHours,
    /// One trading day of the symbol's exchange; its candle's time is that date at 00:00 UTC.
    #[serde(rename = "1d")]
    Day,
}

/// A text that names no interval.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no interval; one of 1m, 5m, 15m, 1h, 4h, 1d")]
pub struct UnknownInterval(String);

impl Interval {
    /// All, narrowest first.
    pub const ALL: [Self; 6] =
        [Self::Minute, Self::FiveMinutes, Self::FifteenMinutes, Self::Hour, Self::FourHours, Self::Day];

    /// `1m`, `5m`, `15m`, `1h`, `4h`, `1d`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::FifteenMinutes => "15m",
            Self::Hour => "1h",
            Self::FourHours => "4h",
            Self::Day => "1d",
        }
    }

    /// How long one candle lasts; a day counts 24 hours.
    pub fn duration(self) -> TimeDelta {
        match self {
            Self::Minute => TimeDelta::minutes(1),
            Self::FiveMinutes => TimeDelta::minutes(5),
            Self::FifteenMinutes => TimeDelta::minutes(15),
            Self::Hour => TimeDelta::hours(1),
            Self::FourHours => TimeDelta::hours(4),
            Self::Day => TimeDelta::days(1),
        }
    }

    /// The open time of the interval, counted from the epoch, that contains `time`. For [`Interval::Day`] this is the UTC
    /// day; for the trading day of a symbol see [`crate::day_bounds`].
    pub fn floor(self, time: DateTime<Utc>) -> DateTime<Utc> {
        let width = self.duration().num_seconds();
        let seconds = time.timestamp().div_euclid(width) * width;
        DateTime::from_timestamp(seconds, 0).unwrap_or(time)
    }
}

impl FromStr for Interval {
    type Err = UnknownInterval;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|interval| interval.as_str() == text)
            .ok_or_else(|| UnknownInterval(text.escape_debug().to_string()))
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
