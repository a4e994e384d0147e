//! Which trading day a moment belongs to.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::America::New_York;
use serde::{Deserialize, Serialize};

use crate::AssetClass;

/// Local time is computed between these only: at the ends of the library's range it would be out of range.
const EARLIEST: DateTime<Utc> =
    DateTime::from_timestamp(-62_167_219_200, 0).expect("0000-01-01T00:00:00Z exists");
const LATEST: DateTime<Utc> =
    DateTime::from_timestamp(253_402_300_799, 0).expect("9999-12-31T23:59:59Z exists");

/// A trading day's date and its first moment and end (exclusive) in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayBounds {
    /// The exchange's local date.
    pub date: NaiveDate,
    /// Local midnight.
    pub start: DateTime<Utc>,
    /// The next local midnight.
    pub end: DateTime<Utc>,
}

impl DayBounds {
    /// The trading day of a date: New York's for stocks, UTC's for crypto. Years before 0 and after 9999 count as the
    /// nearest of these.
    pub fn of(class: AssetClass, date: NaiveDate) -> Self {
        let midnight = |date: NaiveDate| match class {
            AssetClass::Crypto => date.and_time(NaiveTime::MIN).and_utc(),
            // New York changes its clocks at two in the morning: its midnights exist and come once.
            AssetClass::Stock => New_York
                .from_local_datetime(&date.and_time(NaiveTime::MIN))
                .earliest()
                .map_or_else(|| date.and_time(NaiveTime::MIN).and_utc(), |local| local.to_utc()),
        };
        // New York's date of the earliest moment is the day before.
        let earliest = EARLIEST.date_naive().checked_sub_days(Days::new(1)).unwrap_or(NaiveDate::MIN);
        let date = date.clamp(earliest, LATEST.date_naive());
        let next = date.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        Self { date, start: midnight(date), end: midnight(next) }
    }

    /// The moment belongs to this day.
    pub fn holds(&self, time: DateTime<Utc>) -> bool {
        self.start <= time && time < self.end
    }

    /// What a daily candle is labelled with: the date at 00:00 UTC.
    pub fn label(&self) -> DateTime<Utc> {
        self.date.and_time(NaiveTime::MIN).and_utc()
    }
}

/// The trading day that holds a moment: the New York date for stocks, the UTC date for crypto; on weekends and holidays
/// as well, since prices are quoted outside sessions too. Years before 0 and after 9999 count as the nearest of these.
pub fn day_bounds(class: AssetClass, time: DateTime<Utc>) -> DayBounds {
    let time = time.clamp(EARLIEST, LATEST);
    let date = match class {
        AssetClass::Crypto => time.date_naive(),
        AssetClass::Stock => time.with_timezone(&New_York).date_naive(),
    };
    DayBounds::of(class, date)
}
