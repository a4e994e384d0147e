//! The trading calendar as pages and charts need it.

use chrono::{DateTime, Utc};
use chrono_tz::America::New_York;
use market::{AssetClass, current_session, next_session};

/// In its place where prices are invented outside trading hours.
pub(crate) const SIMULATED: &str = "Simulated, open around the clock";

/// Whether the market is open, and until or from when, as text for a page.
pub(crate) fn description(class: AssetClass, now: DateTime<Utc>) -> String {
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

    fn of_stocks(at: &str) -> String {
        description(AssetClass::Stock, at.parse().expect("a time"))
    }

    #[test]
    fn trading_hours_are_in_new_york_time() {
        assert_eq!(of_stocks("2026-01-13T15:30:00Z"), "US market open until 16:00 New York");
        assert_eq!(of_stocks("2026-11-27T15:30:00Z"), "US market open until 13:00 New York, a half day");
        assert_eq!(of_stocks("2026-01-17T15:30:00Z"), "US market closed; opens Tue 20 Jan, 09:30 New York");
    }
}
