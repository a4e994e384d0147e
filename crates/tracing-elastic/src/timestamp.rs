//! Times as RFC 3339 in UTC with microseconds.

use std::{
    cell::Cell,
    time::{Duration, SystemTime},
};

/// `2026-01-13T15:30:00`
const SECOND_BYTES: usize = 19;

/// The last second that a thread has formatted: almost every event is of the same second as the one before.
#[derive(Clone, Copy)]
struct Formatted {
    second: u64,
    text: [u8; SECOND_BYTES],
}

thread_local! {
    static LAST: Cell<Formatted> = const { Cell::new(Formatted { second: 0, text: *b"1970-01-01T00:00:00" }) };
}

/// Appends `2026-01-13T15:30:00.123456Z`. A time before 1970 is shown as 1970.
pub(crate) fn append(into: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let last = LAST.get();
    let text = if last.second == since.as_secs() {
        last.text
    } else {
        let text = formatted(since.as_secs());
        LAST.set(Formatted { second: since.as_secs(), text });
        text
    };
    into.extend_from_slice(&text);
    let mut micros = *b".000000Z";
    digits(&mut micros[1..7], u64::from(since.subsec_micros()));
    into.extend_from_slice(&micros);
}

fn formatted(second: u64) -> [u8; SECOND_BYTES] {
    let (year, month, day) = date(second / 86_400);
    let of_day = second % 86_400;
    let mut text = *b"0000-00-00T00:00:00";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], of_day / 3_600);
    digits(&mut text[14..16], of_day / 60 % 60);
    digits(&mut text[17..19], of_day % 60);
    text
}

/// Writes the last digits of a number, as many as there is room for.
fn digits(room: &mut [u8], mut number: u64) {
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Year, month and day of a number of days since 1970-01-01, after Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>): years begin in March, so that the leap day is their last.
fn date(days: u64) -> (u64, u64, u64) {
    // From 0000-03-01; an era has 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(micros: u64) -> String {
        let mut into = Vec::new();
        append(&mut into, SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
        String::from_utf8(into).expect("ASCII")
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        // As `date -u -d @SECONDS` prints them.
        for (second, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (1_767_225_599, "2025-12-31T23:59:59"),
            (1_768_318_200, "2026-01-13T15:30:00"),
            (4_107_542_399, "2100-02-28T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(text(second * 1_000_000 + 42), format!("{expected}.000042Z"));
        }
        assert_eq!(text(1_768_318_200_999_999), "2026-01-13T15:30:00.999999Z");
    }
}
