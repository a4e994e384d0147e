//! Times as numbers since 1970-01-01 00:00 UTC. Venues and files change their unit without a word: Binance's data files have microseconds
//! since 2025-01-01, its frames where `timeUnit=MICROSECOND` was asked for.

use chrono::{DateTime, Utc};

/// Below it a number has seconds: the year 5138. Above it, milliseconds: 1973.
const SECONDS_BELOW: u64 = 100_000_000_000;
const MILLIS_BELOW: u64 = 1_000 * SECONDS_BELOW;
const MICROS_BELOW: u64 = 1_000 * MILLIS_BELOW;
/// The year 2200.
const NANOS_BELOW: u64 = 7_258_118_400_000_000_000;

/// The time that a number stands for; its unit (seconds, milliseconds, microseconds, nanoseconds) follows from its magnitude. `None`
/// for a time that no calendar has.
pub(crate) fn from_epoch(number: i64) -> Option<DateTime<Utc>> {
    match number.unsigned_abs() {
        size if size < SECONDS_BELOW => DateTime::from_timestamp(number, 0),
        size if size < MILLIS_BELOW => DateTime::from_timestamp_millis(number),
        size if size < MICROS_BELOW => DateTime::from_timestamp_micros(number),
        size if size < NANOS_BELOW => Some(DateTime::from_timestamp_nanos(number)),
        _ => None,
    }
}

/// The same of a number with a fraction, to the microsecond.
pub(crate) fn from_epoch_f64(number: f64) -> Option<DateTime<Utc>> {
    let size = number.abs();
    if size < SECONDS_BELOW as f64 {
        return DateTime::from_timestamp_micros((number * 1e6).round() as i64);
    }
    (size < i64::MAX as f64).then(|| from_epoch(number.round() as i64)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_follows_from_the_magnitude() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().ok();
        assert_eq!(from_epoch(1_735_689_600), time("2025-01-01T00:00:00Z"));
        assert_eq!(from_epoch(1_735_689_600_150), time("2025-01-01T00:00:00.150Z"));
        assert_eq!(from_epoch(1_735_689_600_150_111), time("2025-01-01T00:00:00.150111Z"));
        assert_eq!(from_epoch(1_735_689_600_150_111_222), time("2025-01-01T00:00:00.150111222Z"));
        assert_eq!(from_epoch(0), time("1970-01-01T00:00:00Z"));
        assert_eq!(from_epoch(-1), time("1969-12-31T23:59:59Z"));
        assert_eq!(from_epoch_f64(1_735_689_600.2), time("2025-01-01T00:00:00.2Z"));
        assert_eq!(from_epoch_f64(1_735_689_600_200.0), time("2025-01-01T00:00:00.2Z"));
        assert_eq!(from_epoch(i64::MAX), None);
        assert_eq!(from_epoch(i64::MIN), None);
        for odd in [f64::NAN, f64::INFINITY, 1e300, -1e300] {
            assert_eq!(from_epoch_f64(odd), None);
        }
    }
}
