//! Cells of a CSV file: dates, times and numbers as people's programs write them.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc};
use market::parse_decimal;
use rust_decimal::Decimal;

use crate::feed::epoch::from_epoch;

/// Dates that are read. Days and months with slashes are not: 05/01 is in May for some and in January for others.
const DATES: [&str; 3] = ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d"];
/// Times of a day that are read.
const TIMES: [&str; 3] = ["%H:%M:%S%.f", "%H:%M", "%H%M%S"];

/// Years of dates. A year of two digits is another one.
const YEARS: std::ops::RangeInclusive<i32> = 1800..=2199;

/// One line of CSV.
pub(super) fn cells(line: &str) -> Result<Vec<String>, csv::Error> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
    let first = reader.records().next().transpose()?;
    Ok(first.map(|record| record.iter().map(|cell| cell.trim().to_owned()).collect()).unwrap_or_default())
}

/// A date or a time, as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    local: NaiveDateTime,
    zone: Option<FixedOffset>,
}

impl Moment {
    /// Reads `2025-03-06`, `2025-03-06 09:30:00-05:00`, `2025-03-06T14:30:00Z`, or a number since 1970.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(number) = text.parse::<i64>()
            && text.len() != 8
        {
            let time = from_epoch(number).filter(|time| YEARS.contains(&time.year()));
            let time = time.ok_or_else(|| format!("`{text}` is out of range"))?;
            return Ok(Self { local: time.naive_utc(), zone: FixedOffset::east_opt(0) });
        }
        let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
        let unreadable = || {
            format!("`{}` is neither a date (2026-01-13) nor a time (2026-01-13 09:30:00-05:00)", shown(text))
        };
        let date = DATES.iter().find_map(|form| NaiveDate::parse_from_str(date, form).ok());
        let date = date.filter(|date| YEARS.contains(&date.year())).ok_or_else(unreadable)?;
        let (time, zone) = split_zone(time.trim()).ok_or_else(unreadable)?;
        let time = match time {
            "" => Some(NaiveTime::MIN),
            time => TIMES.iter().find_map(|form| NaiveTime::parse_from_str(time, form).ok()),
        };
        Ok(Self { local: date.and_time(time.ok_or_else(unreadable)?), zone })
    }

    /// The date as written, where the time is midnight.
    pub(super) fn date(self) -> Option<NaiveDate> {
        (self.local.time() == NaiveTime::MIN).then(|| self.local.date())
    }

    /// The instant, where a zone is written.
    pub(super) fn instant(self) -> Option<DateTime<Utc>> {
        Some(self.zone?.from_local_datetime(&self.local).single()?.to_utc())
    }

    /// The instant, in UTC unless another zone is written.
    pub(super) fn in_utc(self) -> DateTime<Utc> {
        self.instant().unwrap_or_else(|| self.local.and_utc())
    }
}

/// The time of day, and the zone behind it. `None` where what follows the time is no offset.
fn split_zone(text: &str) -> Option<(&str, Option<FixedOffset>)> {
    let utc = FixedOffset::east_opt(0);
    for suffix in ["Z", "z", " UTC", "UTC"] {
        if let Some(time) = text.strip_suffix(suffix) {
            return Some((time.trim_end(), utc));
        }
    }
    match text.rfind(['+', '-']) {
        None => Some((text, None)),
        Some(place) => {
            let (time, offset) = text.split_at_checked(place)?;
            Some((time.trim_end(), Some(offset.parse().ok()?)))
        }
    }
}

/// Reads a number, with a dollar sign before it or without.
pub(super) fn number(text: &str) -> Result<Decimal, String> {
    parse_decimal(text.strip_prefix('$').unwrap_or(text)).map_err(|error| error.to_string())
}

/// The beginning of a text, for a message.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_CHARS: usize = 40;
    text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2025-03-06", Some("2025-03-06"), None)]
    #[case("2025/03/06", Some("2025-03-06"), None)]
    #[case("20250306", Some("2025-03-06"), None)]
    #[case("2025-03-06 00:00:00-05:00", Some("2025-03-06"), Some("2025-03-06T05:00:00Z"))]
    #[case("2025-03-06 09:30:00-05:00", None, Some("2025-03-06T14:30:00Z"))]
    #[case("2025-03-06T14:30:00Z", None, Some("2025-03-06T14:30:00Z"))]
    #[case("2025-03-06 14:30:00.250+0000", None, Some("2025-03-06T14:30:00.250Z"))]
    #[case("2025-03-06 14:30 UTC", None, Some("2025-03-06T14:30:00Z"))]
    #[case("2022-04-29 08:00:00", None, None)]
    #[case("1735689600000000", Some("2025-01-01"), Some("2025-01-01T00:00:00Z"))]
    fn dates_and_times_are_read(
        #[case] text: &str,
        #[case] date: Option<&str>,
        #[case] instant: Option<&str>,
    ) {
        let moment = Moment::parse(text).unwrap();
        assert_eq!(moment.date(), date.map(|date| date.parse().unwrap()));
        assert_eq!(moment.instant(), instant.map(|instant| instant.parse().unwrap()));
    }

    #[rstest]
    #[case("05/01/2021")]
    #[case("")]
    #[case("2025-03-06 yesterday")]
    #[case("2025-13-06")]
    #[case("06-03-25")]
    #[case("3/6/25")]
    #[case("2025-03-06 09:30:00-5")]
    fn what_is_neither_is_named(#[case] text: &str) {
        let error = Moment::parse(text).unwrap_err();
        assert!(error.starts_with(&format!("`{text}` is neither a date (2026-01-13)")), "{error}");
    }
}
