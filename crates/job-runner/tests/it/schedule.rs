//! When jobs run, and what of the past is made up.

use chrono::{DateTime, Utc};
use chrono_tz::{America::New_York, Europe::Berlin, Tz, UTC};
use job_runner::{Due, MAX_MADE_UP, MissedRuns, Schedule};
use rstest::rstest;

fn time(text: &str) -> DateTime<Utc> {
    format!("{text}:00Z").parse().unwrap()
}

fn times(text: &str, zone: Tz, from: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text, zone).unwrap();
    let mut last = time(from);
    let next = |_| {
        last = schedule.next(last).unwrap();
        last.format("%Y-%m-%dT%H:%M").to_string()
    };
    (0..count).map(next).collect()
}

#[test]
fn days_of_the_week_are_numbered_as_in_a_crontab() {
    // 2026-01-11 is a Sunday.
    for (days, first) in [
        ("0", "2026-01-11"),
        ("7", "2026-01-11"),
        ("1", "2026-01-12"),
        ("MON", "2026-01-12"),
        ("5", "2026-01-16"),
    ] {
        assert_eq!(times(&format!("0 6 * * {days}"), UTC, "2026-01-10T12:00", 1), [format!("{first}T06:00")]);
    }
    let weekdays = times("30 18 * * 1-5", New_York, "2026-01-16T12:00", 2);
    assert_eq!(weekdays, ["2026-01-16T23:30", "2026-01-19T23:30"]);
}

#[test]
fn a_time_is_that_of_the_zone_before_and_after_clocks_are_set() {
    let evenings = times("0 18 * * *", New_York, "2026-03-07T12:00", 2);
    assert_eq!(evenings, ["2026-03-07T23:00", "2026-03-08T22:00"]);
}

#[test]
fn a_fixed_time_in_the_gap_of_spring_runs_after_it_once() {
    // New York: 02:00 EST becomes 03:00 EDT on 2026-03-08, at 07:00 UTC. Berlin: 02:00 becomes 03:00 on 2026-03-29, at 01:00 UTC.
    assert_eq!(
        times("30 2 * * *", New_York, "2026-03-07T12:00", 2),
        ["2026-03-08T07:00", "2026-03-09T06:30"]
    );
    assert_eq!(times("30 2 * * *", Berlin, "2026-03-28T12:00", 2), ["2026-03-29T01:00", "2026-03-30T00:30"]);
}

#[test]
fn a_fixed_time_that_exists_twice_in_autumn_runs_once() {
    // 02:00 EDT becomes 01:00 EST on 2026-11-01, at 06:00 UTC.
    assert_eq!(
        times("30 1 * * *", New_York, "2026-10-31T12:00", 2),
        ["2026-11-01T05:30", "2026-11-02T06:30"]
    );
}

#[test]
fn steps_follow_the_clock_through_both_changes() {
    assert_eq!(
        times("*/30 * * * *", New_York, "2026-03-08T06:15", 3),
        ["2026-03-08T06:30", "2026-03-08T07:00", "2026-03-08T07:30"]
    );
    let autumn = times("0 * * * *", New_York, "2026-11-01T04:30", 3);
    assert_eq!(autumn, ["2026-11-01T05:00", "2026-11-01T06:00", "2026-11-01T07:00"]);
}

#[rstest]
#[case::seconds("0 0 6 * * *")]
#[case::too_few("0 6 * *")]
#[case::no_minute("60 6 * * *")]
#[case::no_such_day("0 6 31 6 *")]
#[case::nothing("")]
#[case::words("at noon")]
fn what_is_no_schedule_is_refused_with_an_example(#[case] text: &str) {
    let error = Schedule::parse(text, UTC).unwrap_err().to_string();
    assert!(error.contains(&format!("`{text}`")) && error.contains("30 18 * * 1-5"), "{error}");
}

fn due(missed: MissedRuns, finished: &str, started: &str, now: &str) -> Due {
    Schedule::parse("0 6 * * *", UTC).unwrap().due(missed, time(finished), time(started), time(now))
}

#[test]
fn nothing_is_due_before_its_time_and_one_run_at_it() {
    for missed in [MissedRuns::MakeUpAll, MissedRuns::MakeUpNewest, MissedRuns::Skip] {
        let before = due(missed, "2026-01-13T06:00", "2026-01-13T05:00", "2026-01-14T05:59");
        assert_eq!(before, Due::default());
        let at = due(missed, "2026-01-13T06:00", "2026-01-13T05:00", "2026-01-14T06:00");
        assert_eq!(at, Due { runs: vec![time("2026-01-14T06:00")], ..Due::default() });
    }
}

#[test]
fn missed_runs_are_made_up_the_oldest_first_or_the_newest_only_or_not_at_all() {
    let (finished, started, now) = ("2026-01-10T06:00", "2026-01-13T09:00", "2026-01-13T09:00");
    let [eleventh, twelfth, thirteenth] = ["11", "12", "13"].map(|day| time(&format!("2026-01-{day}T06:00")));
    assert_eq!(
        due(MissedRuns::MakeUpAll, finished, started, now),
        Due { runs: vec![eleventh, twelfth, thirteenth], skipped: 0, skipped_until: None }
    );
    assert_eq!(
        due(MissedRuns::MakeUpNewest, finished, started, now),
        Due { runs: vec![thirteenth], skipped: 2, skipped_until: Some(twelfth) }
    );
    assert_eq!(
        due(MissedRuns::Skip, finished, started, now),
        Due { runs: vec![], skipped: 3, skipped_until: Some(thirteenth) }
    );
    // The process ran at six, and was busy until nine.
    let started = "2026-01-13T05:00";
    assert_eq!(due(MissedRuns::Skip, finished, started, now).runs, [thirteenth]);
}

#[test]
fn of_years_of_missed_runs_the_newest_are_made_up() {
    let due = due(MissedRuns::MakeUpAll, "2020-01-01T06:00", "2026-01-01T07:00", "2026-01-01T07:00");
    assert_eq!(due.runs.len(), MAX_MADE_UP);
    assert_eq!(due.runs.last(), Some(&time("2026-01-01T06:00")));
    assert_eq!(due.skipped, 2_192 - MAX_MADE_UP as u64);
}
