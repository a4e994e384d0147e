//! When markets trade: US equities by the New York Stock Exchange's rules (its Rule 7.2, "Holidays"), crypto always.
//!
//! Each rule applies to the years in which the exchange followed it. From 1990 to 2027 every session and every early close is
//! compared with a published calendar. Before 1990 the rules give the usual holidays; closures without a rule (funerals,
//! snow, the Wednesdays of 1968) are not listed, and neither are the Saturday sessions until 1952.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::America::New_York;

use crate::{AssetClass, DayBounds, day_bounds};

/// Full closures that no rule gives, since 1990: `(year, month, day)`.
const SPECIAL_CLOSURES: [(i32, u32, u32); 11] = [
    (1994, 4, 27), // funeral of President Nixon
    (2001, 9, 11), // attacks of September 11
    (2001, 9, 12),
    (2001, 9, 13),
    (2001, 9, 14),
    (2004, 6, 11),  // funeral of President Reagan
    (2007, 1, 2),   // funeral of President Ford
    (2012, 10, 29), // Hurricane Sandy
    (2012, 10, 30),
    (2018, 12, 5), // funeral of President George H. W. Bush
    (2025, 1, 9),  // day of mourning for President Carter
];

/// Early closes that no rule gives, since 1990.
const SPECIAL_EARLY_CLOSES: [(i32, u32, u32); 3] = [
    (1997, 12, 26), // Friday after Christmas Day
    (1999, 12, 31), // Friday before the year 2000
    (2003, 12, 26), // Friday after Christmas Day
];

/// A search for a session gives up after this many days; the longest closure since 1990 has six.
const LONGEST_BREAK_DAYS: u64 = 14;

/// One day's regular trading hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// The trading date: New York's for stocks, UTC's for crypto.
    pub date: NaiveDate,
    /// First moment, inclusive.
    pub open: DateTime<Utc>,
    /// End, exclusive.
    pub close: DateTime<Utc>,
    /// It ends early: at 13:00 New York time, until 1992 at 14:00.
    pub is_half_day: bool,
}

impl Session {
    /// Trading goes on at this moment.
    pub fn holds(&self, time: DateTime<Utc>) -> bool {
        self.open <= time && time < self.close
    }
}

/// The session of a date; `None` on weekends and holidays.
pub fn session(class: AssetClass, date: NaiveDate) -> Option<Session> {
    if class == AssetClass::Crypto {
        return trading_hours(class, date);
    }
    closure(class, date).is_none().then(|| trading_hours(class, date)).flatten()
}

/// Ticks arrive late: a trading day counts as complete so long after its end.
const COMPLETION_GRACE: TimeDelta = TimeDelta::minutes(10);

/// When a trading day is complete, so that it can be aggregated: ten minutes after its end. A day of stocks ends with its session,
/// one without a session at midnight in New York, one of crypto at midnight UTC.
pub fn day_complete_at(class: AssetClass, date: NaiveDate) -> DateTime<Utc> {
    let end = match class {
        AssetClass::Stock => session(class, date).map(|session| session.close),
        AssetClass::Crypto => None,
    };
    end.unwrap_or_else(|| DayBounds::of(class, date).end) + COMPLETION_GRACE
}

/// The newest trading day that is complete.
pub fn newest_complete_day(class: AssetClass, now: DateTime<Utc>) -> NaiveDate {
    let today = day_bounds(class, now).date;
    if day_complete_at(class, today) <= now { today } else { today.pred_opt().unwrap_or(today) }
}

/// Why a date has no session: `weekend`, the name of the holiday, or `special closure`; `None` where it has one.
pub fn closure(class: AssetClass, date: NaiveDate) -> Option<&'static str> {
    match class {
        AssetClass::Crypto => None,
        AssetClass::Stock if is_weekend(date) => Some("weekend"),
        AssetClass::Stock if is_listed(&SPECIAL_CLOSURES, date) => Some("special closure"),
        AssetClass::Stock => holiday(date),
    }
}

/// The trading hours of a date, whether or not the calendar has a session on it: for data that shows that there was one.
/// `None` only at the ends of the calendar.
pub fn trading_hours(class: AssetClass, date: NaiveDate) -> Option<Session> {
    if class == AssetClass::Crypto {
        let open = date.and_time(NaiveTime::MIN).and_utc();
        return Some(Session { date, open, close: open.checked_add_days(Days::new(1))?, is_half_day: false });
    }
    let is_half_day = is_half_day(date);
    let closing_hour = match is_half_day {
        false => 16,
        true if date.year() < 1993 => 14,
        true => 13,
    };
    let at = |hour, minute| {
        let local = date.and_time(NaiveTime::from_hms_opt(hour, minute, 0)?);
        // Trading hours are far from the hour at which New York changes its clocks.
        New_York.from_local_datetime(&local).earliest().map(|local| local.to_utc())
    };
    Some(Session { date, open: at(9, 30)?, close: at(closing_hour, 0)?, is_half_day })
}

/// The session that holds this moment.
pub fn current_session(class: AssetClass, time: DateTime<Utc>) -> Option<Session> {
    session(class, day_bounds(class, time).date).filter(|session| session.holds(time))
}

/// Regular trading goes on at this moment.
pub fn is_open(class: AssetClass, time: DateTime<Utc>) -> bool {
    current_session(class, time).is_some()
}

/// The first session that opens after this moment; `None` only at the end of the calendar.
pub fn next_session(class: AssetClass, time: DateTime<Utc>) -> Option<Session> {
    let today = day_bounds(class, time).date;
    let days = (0..LONGEST_BREAK_DAYS).filter_map(|days| today.checked_add_days(Days::new(days)));
    days.filter_map(|date| session(class, date)).find(|session| session.open > time)
}

/// The last session that had closed by this moment; `None` only at the beginning of the calendar.
pub fn previous_session(class: AssetClass, time: DateTime<Utc>) -> Option<Session> {
    let today = day_bounds(class, time).date;
    let days = (0..LONGEST_BREAK_DAYS).filter_map(|days| today.checked_sub_days(Days::new(days)));
    days.filter_map(|date| session(class, date)).find(|session| session.close <= time)
}

/// The sessions of all dates from `from` to `to`, both included, in order.
pub fn sessions_between(class: AssetClass, from: NaiveDate, to: NaiveDate) -> impl Iterator<Item = Session> {
    from.iter_days().take_while(move |date| *date <= to).filter_map(move |date| session(class, date))
}

fn is_weekend(date: NaiveDate) -> bool {
    matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// The name of the holiday on which the exchange is closed.
fn holiday(date: NaiveDate) -> Option<&'static str> {
    let all = holidays(date.year());
    all.into_iter().find(|(_, holiday)| *holiday == Some(date)).map(|(name, _)| name)
}

fn is_listed(dates: &[(i32, u32, u32)], date: NaiveDate) -> bool {
    dates.contains(&(date.year(), date.month(), date.day()))
}

/// The holidays of a year on the days they are observed.
fn holidays(year: i32) -> [(&'static str, Option<NaiveDate>); 10] {
    let fixed = |month, day| NaiveDate::from_ymd_opt(year, month, day);
    let nth = |month, weekday, n| NaiveDate::from_weekday_of_month_opt(year, month, weekday, n);
    // A New Year's Day on Saturday is not observed on Friday: that is the last trading day of the old year.
    let new_year = fixed(1, 1).filter(|date| date.weekday() != Weekday::Sat);
    // The Uniform Monday Holiday Act took effect in 1971.
    let [washington, memorial] = if year < 1971 {
        [fixed(2, 22).map(observed), fixed(5, 30).map(observed)]
    } else {
        let last_monday = nth(5, Weekday::Mon, 5).or_else(|| nth(5, Weekday::Mon, 4));
        [nth(2, Weekday::Mon, 3), last_monday]
    };
    [
        ("New Year's Day", new_year.map(observed)),
        ("Martin Luther King, Jr. Day", nth(1, Weekday::Mon, 3).filter(|_| year >= 1998)),
        ("Washington's Birthday", washington),
        ("Good Friday", easter(year).and_then(|sunday| sunday.checked_sub_days(Days::new(2)))),
        ("Memorial Day", memorial),
        ("Juneteenth", fixed(6, 19).filter(|_| year >= 2022).map(observed)),
        ("Independence Day", fixed(7, 4).map(observed)),
        ("Labor Day", nth(9, Weekday::Mon, 1)),
        ("Thanksgiving Day", nth(11, Weekday::Thu, 4)),
        ("Christmas Day", fixed(12, 25).map(observed)),
    ]
}

/// Holidays on Saturday are observed on Friday, on Sunday on Monday.
fn observed(date: NaiveDate) -> NaiveDate {
    let kept = match date.weekday() {
        Weekday::Sat => date.pred_opt(),
        Weekday::Sun => date.succ_opt(),
        _ => None,
    };
    kept.unwrap_or(date)
}

/// A trading day that ends early: Christmas Eve; from 1992 the day after Thanksgiving; from 1995 the third of July before
/// a holiday on the fourth, or, until 2012, the fifth where the fourth was a Thursday.
fn is_half_day(date: NaiveDate) -> bool {
    let year = date.year();
    let after_thanksgiving = NaiveDate::from_weekday_of_month_opt(year, 11, Weekday::Thu, 4)
        .and_then(|thursday| thursday.succ_opt());
    let beside_independence_day =
        NaiveDate::from_ymd_opt(year, 7, 4).and_then(|fourth| match fourth.weekday() {
            Weekday::Sat | Weekday::Sun => None,
            Weekday::Thu if year < 2013 => fourth.succ_opt(),
            _ => fourth.pred_opt(),
        });
    (year >= 1990 && (date.month(), date.day()) == (12, 24))
        || (year >= 1992 && Some(date) == after_thanksgiving)
        || (year >= 1995 && Some(date) == beside_independence_day)
        || is_listed(&SPECIAL_EARLY_CLOSES, date)
}

/// Easter Sunday of the Gregorian calendar (the anonymous algorithm of Nature, 1876, as in Meeus, Astronomical
/// Algorithms, chapter 8).
fn easter(year: i32) -> Option<NaiveDate> {
    let (golden, century, rest) = (year.rem_euclid(19), year.div_euclid(100), year.rem_euclid(100));
    let leap_correction = (century + 8) / 25;
    let moon_correction = (century - leap_correction + 1) / 3;
    let epact = (19 * golden + century - century / 4 - moon_correction + 15).rem_euclid(30);
    let weekday = (32 + 2 * (century % 4) + 2 * (rest / 4) - epact - rest % 4).rem_euclid(7);
    let shift = (golden + 11 * epact + 22 * weekday) / 451;
    let days = epact + weekday - 7 * shift + 114;
    let march = NaiveDate::from_ymd_opt(year, 1, 1)?
        .checked_add_months(Months::new((days / 31 - 1).unsigned_abs()))?;
    march.checked_add_days(Days::new((days % 31).unsigned_abs().into()))
}
