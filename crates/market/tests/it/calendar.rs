use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc, Weekday};
use market::{
    AssetClass, current_session, day_bounds, is_open, next_session, previous_session, session,
    sessions_between,
};
use proptest::prelude::*;

/// Full closures as the New York Stock Exchange has published them: month and day.
const CLOSED: [(i32, &[(u32, u32)]); 11] = [
    (2020, &[(1, 1), (1, 20), (2, 17), (4, 10), (5, 25), (7, 3), (9, 7), (11, 26), (12, 25)]),
    (2021, &[(1, 1), (1, 18), (2, 15), (4, 2), (5, 31), (7, 5), (9, 6), (11, 25), (12, 24)]),
    (2022, &[(1, 17), (2, 21), (4, 15), (5, 30), (6, 20), (7, 4), (9, 5), (11, 24), (12, 26)]),
    (2023, &[(1, 2), (1, 16), (2, 20), (4, 7), (5, 29), (6, 19), (7, 4), (9, 4), (11, 23), (12, 25)]),
    (2024, &[(1, 1), (1, 15), (2, 19), (3, 29), (5, 27), (6, 19), (7, 4), (9, 2), (11, 28), (12, 25)]),
    (
        2025,
        &[(1, 1), (1, 9), (1, 20), (2, 17), (4, 18), (5, 26), (6, 19), (7, 4), (9, 1), (11, 27), (12, 25)],
    ),
    (2026, &[(1, 1), (1, 19), (2, 16), (4, 3), (5, 25), (6, 19), (7, 3), (9, 7), (11, 26), (12, 25)]),
    (2027, &[(1, 1), (1, 18), (2, 15), (3, 26), (5, 31), (6, 18), (7, 5), (9, 6), (11, 25), (12, 24)]),
    (2028, &[(1, 17), (2, 21), (4, 14), (5, 29), (6, 19), (7, 4), (9, 4), (11, 23), (12, 25)]),
    (2029, &[(1, 1), (1, 15), (2, 19), (3, 30), (5, 28), (6, 19), (7, 4), (9, 3), (11, 22), (12, 25)]),
    (2030, &[(1, 1), (1, 21), (2, 18), (4, 19), (5, 27), (6, 19), (7, 4), (9, 2), (11, 28), (12, 25)]),
];

/// Days that end at 13:00.
const HALF: [(i32, &[(u32, u32)]); 11] = [
    (2020, &[(11, 27), (12, 24)]),
    (2021, &[(11, 26)]),
    (2022, &[(11, 25)]),
    (2023, &[(7, 3), (11, 24)]),
    (2024, &[(7, 3), (11, 29), (12, 24)]),
    (2025, &[(7, 3), (11, 28), (12, 24)]),
    (2026, &[(11, 27), (12, 24)]),
    (2027, &[(11, 26)]),
    (2028, &[(7, 3), (11, 24)]),
    (2029, &[(7, 3), (11, 23), (12, 24)]),
    (2030, &[(7, 3), (11, 29), (12, 24)]),
];

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
fn the_rules_give_the_published_closures_and_half_days_of_2020_to_2030() {
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
fn the_calendar_is_what_traded_from_2021_to_2023() {
    // The dates of the daily bars of a share that never paused.
    let mut file =
        csv::Reader::from_reader(include_str!("../fixtures/trading_days_2021_2023.csv").as_bytes());
    let traded: Vec<NaiveDate> = file.records().map(|row| row.unwrap()[0].parse().unwrap()).collect();
    let (first, last) = (traded[0], traded[traded.len() - 1]);
    let reckoned: Vec<NaiveDate> =
        sessions_between(AssetClass::Stock, first, last).map(|session| session.date).collect();
    assert_eq!(reckoned, traded);
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
            prop_assert!(next.open - time < TimeDelta::days(6));
        }
    }
}
