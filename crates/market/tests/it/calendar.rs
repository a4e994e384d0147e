use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::America::New_York;
use market::{
    AssetClass, current_session, day_bounds, is_open, next_session, previous_session, session,
    sessions_between, trading_hours,
};
use proptest::prelude::*;

/// Full closures as the New York Stock Exchange has published them, after the reference ends: month and day.
const CLOSED: [(i32, &[(u32, u32)]); 3] = [
    (2028, &[(1, 17), (2, 21), (4, 14), (5, 29), (6, 19), (7, 4), (9, 4), (11, 23), (12, 25)]),
    (2029, &[(1, 1), (1, 15), (2, 19), (3, 30), (5, 28), (6, 19), (7, 4), (9, 3), (11, 22), (12, 25)]),
    (2030, &[(1, 1), (1, 21), (2, 18), (4, 19), (5, 27), (6, 19), (7, 4), (9, 2), (11, 28), (12, 25)]),
];

/// Days that end at 13:00.
const HALF: [(i32, &[(u32, u32)]); 3] = [
    (2028, &[(7, 3), (11, 24)]),
    (2029, &[(7, 3), (11, 23), (12, 24)]),
    (2030, &[(7, 3), (11, 29), (12, 24)]),
];

/// Weekdays of 1990-01-02 to 2027-12-31 on which the exchange did not trade until 16:00: closed (an empty cell), or closing
/// early, in New York time. Extracted from exchange-calendars 4.13.2 (XNYS; Apache-2.0).
const EXCEPTIONS: &str = include_str!("../fixtures/xnys_exceptions_1990_2027.csv");

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap()
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn days_of(year: i32) -> impl Iterator<Item = NaiveDate> {
    date(year, 1, 1).iter_days().take_while(move |day| day.year() == year)
}

#[test]
fn the_rules_give_the_published_closures_and_half_days_of_2028_to_2030() {
    for ((year, closed), (_, half)) in CLOSED.into_iter().zip(HALF) {
        let is_weekday = |day: &NaiveDate| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
        let found: Vec<(u32, u32)> = days_of(year)
            .filter(is_weekday)
            .filter(|day| session(AssetClass::Stock, *day).is_none())
            .map(|day| (day.month(), day.day()))
            .collect();
        assert_eq!(found, closed, "closures of {year}");
        let found: Vec<(u32, u32)> = days_of(year)
            .filter(|day| session(AssetClass::Stock, *day).is_some_and(|session| session.is_half_day))
            .map(|day| (day.month(), day.day()))
            .collect();
        assert_eq!(found, half, "half days of {year}");
    }
}

#[test]
fn sessions_follow_new_yorks_clocks() {
    let hours = |day| {
        let session = session(AssetClass::Stock, day).unwrap();
        (session.open.format("%H:%M").to_string(), session.close.format("%H:%M").to_string())
    };
    // The clocks went forward on 2026-03-08 and back on 2026-11-01, both Sundays.
    assert_eq!(hours(date(2026, 3, 6)), ("14:30".into(), "21:00".into()));
    assert_eq!(hours(date(2026, 3, 9)), ("13:30".into(), "20:00".into()));
    assert_eq!(hours(date(2026, 10, 30)), ("13:30".into(), "20:00".into()));
    assert_eq!(hours(date(2026, 11, 2)), ("14:30".into(), "21:00".into()));
    assert_eq!(hours(date(2026, 11, 27)), ("14:30".into(), "18:00".into()));
}

#[test]
fn a_day_lasts_23_or_25_hours_when_the_clocks_change() {
    let hours = |text| {
        let day = day_bounds(AssetClass::Stock, utc(text));
        (day.end - day.start).num_hours()
    };
    assert_eq!(hours("2026-03-08T12:00:00Z"), 23);
    assert_eq!(hours("2026-11-01T12:00:00Z"), 25);
    assert_eq!(hours("2026-06-01T12:00:00Z"), 24);
}

#[test]
fn an_evening_in_new_york_is_still_that_trading_day() {
    let time = utc("2026-01-14T02:00:00Z");
    assert_eq!(day_bounds(AssetClass::Stock, time).date, date(2026, 1, 13));
    assert_eq!(day_bounds(AssetClass::Crypto, time).date, date(2026, 1, 14));
}

#[test]
fn after_the_close_comes_the_next_morning_and_before_a_long_weekend_the_tuesday() {
    let friday_evening = utc("2026-01-16T22:00:00Z");
    assert!(!is_open(AssetClass::Stock, friday_evening));
    // Monday the 19th is a holiday.
    assert_eq!(next_session(AssetClass::Stock, friday_evening).unwrap().date, date(2026, 1, 20));
    assert_eq!(previous_session(AssetClass::Stock, friday_evening).unwrap().date, date(2026, 1, 16));
}

#[test]
fn crypto_never_closes() {
    let saturday = utc("2026-12-26T03:00:00Z");
    assert!(is_open(AssetClass::Crypto, saturday));
    assert_eq!(current_session(AssetClass::Crypto, saturday).unwrap().date, date(2026, 12, 26));
}

#[test]
fn every_session_from_1990_to_2027_is_that_of_the_published_calendar() {
    let mut file = csv::Reader::from_reader(EXCEPTIONS.as_bytes());
    let exceptions: BTreeMap<NaiveDate, Option<NaiveTime>> = file
        .records()
        .map(|row| row.unwrap())
        .map(|row| (row[0].parse().unwrap(), NaiveTime::parse_from_str(&row[1], "%H:%M").ok()))
        .collect();
    let time = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
    let (first, last) = (date(1990, 1, 2), date(2027, 12, 31));
    let weekdays = first
        .iter_days()
        .take_while(|day| *day <= last)
        .filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun));
    let expected: Vec<(NaiveDate, NaiveTime, NaiveTime)> = weekdays
        .filter_map(|day| {
            let close = exceptions.get(&day).copied().unwrap_or(Some(time(16, 0)))?;
            Some((day, time(9, 30), close))
        })
        .collect();
    let local = |moment: DateTime<Utc>| moment.with_timezone(&New_York).time();
    let sessions: Vec<_> = sessions_between(AssetClass::Stock, first, last).collect();
    let found: Vec<(NaiveDate, NaiveTime, NaiveTime)> =
        sessions.iter().map(|session| (session.date, local(session.open), local(session.close))).collect();
    assert_eq!(found, expected);
    assert_eq!(sessions.len(), 9_569);
    assert_eq!(sessions.iter().filter(|session| session.is_half_day).count(), 80);
}

#[test]
fn holidays_are_those_of_their_time() {
    let is_closed = |year, month, day| session(AssetClass::Stock, date(year, month, day)).is_none();
    // Martin Luther King, Jr. Day from 1998; Mondays from 1971, Washington's Birthday and Memorial Day before on their dates.
    assert!(!is_closed(1997, 1, 20) && is_closed(1998, 1, 19));
    assert!(!is_closed(1962, 2, 19) && is_closed(1962, 2, 22));
    assert!(!is_closed(1970, 5, 25) && is_closed(1969, 5, 30));
    assert!(is_closed(1971, 2, 15) && is_closed(1971, 5, 31));
}

#[test]
fn a_day_without_a_session_has_trading_hours_for_data_that_shows_one() {
    let hours = trading_hours(AssetClass::Stock, date(2001, 9, 11)).unwrap();
    assert_eq!((hours.open, hours.close), (utc("2001-09-11T13:30:00Z"), utc("2001-09-11T20:00:00Z")));
    assert_eq!(trading_hours(AssetClass::Crypto, NaiveDate::MAX), None);
}

#[test]
fn times_beyond_all_calendars_are_answered_too() {
    for time in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        for class in [AssetClass::Stock, AssetClass::Crypto] {
            assert!(!day_bounds(class, time).holds(time));
            assert!(!is_open(class, time));
            let _ = (next_session(class, time), previous_session(class, time));
        }
    }
    let last = date(9999, 12, 31);
    assert_eq!(sessions_between(AssetClass::Crypto, last, NaiveDate::MAX).next().unwrap().date, last);
    assert_eq!(sessions_between(AssetClass::Crypto, last, date(2026, 1, 1)).count(), 0);
}

proptest! {
    #[test]
    fn sessions_follow_each_other_without_overlap(days in 0_u64..36_000, length in 0_u64..400) {
        let from = date(2000, 1, 1) + Days::new(days);
        let to = from + Days::new(length);
        for class in [AssetClass::Stock, AssetClass::Crypto] {
            let sessions: Vec<_> = sessions_between(class, from, to).collect();
            prop_assert!(sessions.iter().all(|session| from <= session.date && session.date <= to));
            for session in &sessions {
                prop_assert_eq!(day_bounds(class, session.open).date, session.date);
                prop_assert_eq!(current_session(class, session.open), Some(*session));
            }
            for pair in sessions.windows(2) {
                prop_assert!(pair[0].close <= pair[1].open);
                prop_assert_eq!(next_session(class, pair[0].open), Some(pair[1]));
                prop_assert_eq!(previous_session(class, pair[1].open), Some(pair[0]));
            }
        }
    }

    #[test]
    fn the_next_session_lies_ahead_and_the_previous_behind(seconds in 946_684_800_i64..4_102_444_800) {
        let time = DateTime::from_timestamp(seconds, 0).unwrap();
        for class in [AssetClass::Stock, AssetClass::Crypto] {
            let next = next_session(class, time).unwrap();
            let previous = previous_session(class, time).unwrap();
            prop_assert!(time < next.open && next.open < next.close);
            prop_assert!(previous.close <= time);
            prop_assert!(is_open(class, next.open) && !previous.holds(time));
            prop_assert!(previous.close <= next.open, "sessions never overlap");
            prop_assert!(!is_open(AssetClass::Stock, next.close) || class == AssetClass::Crypto);
            prop_assert!(day_bounds(class, time).holds(time));
            // The longest closure: from September 10 to September 17, 2001.
            prop_assert!(next.open - time <= TimeDelta::days(7));
        }
    }
}
