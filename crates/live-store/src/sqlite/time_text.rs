//! Times as text of one width, so that the order of the text is the order of time:
//! `2026-01-13T15:30:00.214000Z`.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Timelike, Utc};

const WIDTH: usize = 27;
const PATTERN: [u8; WIDTH] = *b"0000-00-00T00:00:00.000000Z";
/// Sorts before and behind every time that can be stored.
const BEFORE_ALL: &str = "";
const AFTER_ALL: &str = "~";

/// A time, written. Made for the hot path: no formatting machinery, no allocation.
#[derive(Clone, Copy)]
pub(crate) struct TimeText([u8; WIDTH]);

impl TimeText {
    /// `None` outside the years 0 to 9999. What is finer than a microsecond is cut off.
    pub(crate) fn new(time: DateTime<Utc>) -> Option<Self> {
        let time = time.naive_utc();
        let year = u32::try_from(time.year()).ok().filter(|year| *year <= 9999)?;
        let mut text = PATTERN;
        put(&mut text[0..4], year);
        put(&mut text[5..7], time.month());
        put(&mut text[8..10], time.day());
        put(&mut text[11..13], time.hour());
        put(&mut text[14..16], time.minute());
        put(&mut text[17..19], time.second());
        // Within a leap second chrono counts on beyond a second's worth.
        put(&mut text[20..26], (time.nanosecond() / 1000).min(999_999));
        Some(Self(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        // Only ASCII digits were put into an ASCII pattern.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Either end of a range of times; times that no row can have become the outermost ends. Rounded up to the
/// microsecond: then both `>=` and `<` mean what they meant before.
pub(crate) fn range_end(time: DateTime<Utc>) -> String {
    let time = time.checked_add_signed(TimeDelta::nanoseconds(999)).unwrap_or(time);
    match TimeText::new(time) {
        Some(text) => text.as_str().to_owned(),
        None if time.year() < 0 => BEFORE_ALL.to_owned(),
        None => AFTER_ALL.to_owned(),
    }
}

/// Reads what [`TimeText`] writes, and nothing else.
pub(crate) fn parse(text: &str) -> Option<DateTime<Utc>> {
    let bytes: &[u8; WIDTH] = text.as_bytes().try_into().ok()?;
    let fixed = [4, 7, 10, 13, 16, 19, 26];
    if fixed.iter().any(|at| bytes[*at] != PATTERN[*at]) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(get(&bytes[0..4])? as i32, get(&bytes[5..7])?, get(&bytes[8..10])?)?;
    let (hour, minute, second) = (get(&bytes[11..13])?, get(&bytes[14..16])?, get(&bytes[17..19])?);
    Some(date.and_hms_micro_opt(hour, minute, second, get(&bytes[20..26])?)?.and_utc())
}

/// Right-aligned digits over the zeros of the pattern.
fn put(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn get(digits: &[u8]) -> Option<u32> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
}
