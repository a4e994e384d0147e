//! The trading calendar in the words of the pages.

use chrono::{DateTime, Utc};
use chrono_tz::America::New_York;
use market::{AssetClass, Interval, current_session, day_bounds, next_session};

/// Regular trading goes on.
pub(crate) fn is_open(class: AssetClass, now: DateTime<Utc>) -> bool {
    market::is_open(class, now)
}

/// Both moments belong to one line of a sparkline: stocks show a trading day, crypto the last 24 hours.
pub(crate) fn same_day(class: AssetClass, a: DateTime<Utc>, b: DateTime<Utc>) -> bool {
    class == AssetClass::Crypto || day_bounds(class, a).date == day_bounds(class, b).date
}

/// When the bar of this width that holds the minute began.
pub(crate) fn bar_start(class: AssetClass, interval: Interval, minute: DateTime<Utc>) -> DateTime<Utc> {
    match interval {
        Interval::Day => day_bounds(class, minute).start,
        _ => interval.floor(minute),
    }
}

/// What the market is doing, for people.
pub(crate) fn words(class: AssetClass, now: DateTime<Utc>) -> String {
    if class == AssetClass::Crypto {
        return "Open around the clock; days end at 00:00 UTC".to_owned();
    }
    if let Some(session) = current_session(class, now) {
        let half = if session.is_half_day { ", a half day" } else { "" };
        return format!(
            "US market open until {} New York{half}",
            session.close.with_timezone(&New_York).format("%H:%M")
        );
    }
    match next_session(class, now) {
        Some(next) => {
            let opens = next.open.with_timezone(&New_York).format("%a %-d %b, %H:%M");
            format!("US market closed; opens {opens} New York")
        }
        None => "US market closed".to_owned(),
    }
}

/// The exchange's time zone, as `Intl` in browsers names it.
pub(crate) fn zone_name(class: AssetClass) -> &'static str {
    match class {
        AssetClass::Stock => "America/New_York",
        AssetClass::Crypto => "UTC",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock_words(at: &str) -> String {
        words(AssetClass::Stock, at.parse().expect("a time"))
    }

    #[test]
    fn the_session_is_told_in_new_york_time() {
        assert_eq!(stock_words("2026-01-13T15:30:00Z"), "US market open until 16:00 New York");
        assert_eq!(stock_words("2026-11-27T15:30:00Z"), "US market open until 13:00 New York, a half day");
        assert_eq!(stock_words("2026-01-17T15:30:00Z"), "US market closed; opens Tue 20 Jan, 09:30 New York");
    }
}
