//! Times as BSON has them, milliseconds, with the microseconds that are left over in a field beside: `timestamp` and
//! `timestamp_us`. `timestamp` alone is a date; both together are the exact time.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use mongodb::bson::{self, Document, doc};

/// The first microsecond of the year 0, and the one behind the last of the year 9999.
const MIN_MICROS: i64 = -62_167_219_200_000_000;
const END_MICROS: i64 = 253_402_300_800_000_000;

/// A time, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    millis: i64,
    /// Microseconds behind the millisecond, 0 to 999.
    micros: i32,
}

impl Moment {
    /// `None` outside the years 0 to 9999. What is finer than a microsecond is cut off.
    pub(crate) fn new(time: DateTime<Utc>) -> Option<Self> {
        if !(0..=9999).contains(&time.year()) {
            return None;
        }
        // A leap second may count on into the next year.
        Some(Self::of_micros(time.timestamp_micros().min(END_MICROS - 1)))
    }

    /// Either end of a range of times; times that no document can have become the outermost ends. Rounded up to the
    /// microsecond: then both `>=` and `<` mean what they meant before.
    pub(crate) fn range_end(time: DateTime<Utc>) -> Self {
        let time = time.checked_add_signed(TimeDelta::nanoseconds(999)).unwrap_or(time);
        Self::of_micros(time.timestamp_micros().clamp(MIN_MICROS, END_MICROS))
    }

    fn of_micros(micros: i64) -> Self {
        Self { millis: micros.div_euclid(1000), micros: micros.rem_euclid(1000) as i32 }
    }

    /// From the fields of a document; `None` if it is no such time.
    pub(crate) fn read(date: bson::DateTime, micros: i32) -> Option<DateTime<Utc>> {
        let micros = Some(micros).filter(|micros| (0..1000).contains(micros))?;
        let all = date.timestamp_millis().checked_mul(1000)?.checked_add(i64::from(micros))?;
        DateTime::from_timestamp_micros(all).filter(|time| (0..=9999).contains(&time.year()))
    }

    pub(crate) fn date(self) -> bson::DateTime {
        bson::DateTime::from_millis(self.millis)
    }

    pub(crate) fn micros(self) -> i32 {
        self.micros
    }
}

/// The two fields of a time.
#[derive(Clone, Copy)]
pub(crate) struct TimeFields {
    date: &'static str,
    micros: &'static str,
}

impl TimeFields {
    /// The field of the date, and the one of the microseconds behind its millisecond.
    pub(crate) const fn new(date: &'static str, micros: &'static str) -> Self {
        Self { date, micros }
    }

    /// `from <= time < to`. Beside the exact condition stands one on the date alone, which an index can follow.
    pub(crate) fn between(self, from: Moment, to: Moment) -> Document {
        let mut all = vec![doc! { self.date: { "$gte": from.date(), "$lte": to.date() } }, self.before(to)];
        if from.micros > 0 {
            all.push(doc! { "$or": [
                { self.date: { "$gt": from.date() } },
                { self.date: from.date(), self.micros: { "$gte": from.micros } },
            ] });
        }
        doc! { "$and": all }
    }

    /// `time < end`.
    pub(crate) fn before(self, end: Moment) -> Document {
        if end.micros == 0 {
            return doc! { self.date: { "$lt": end.date() } };
        }
        doc! { "$or": [
            { self.date: { "$lt": end.date() } },
            { self.date: end.date(), self.micros: { "$lt": end.micros } },
        ] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_time_taken_apart_is_put_together_again() {
        for text in [
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59.999999Z",
            "1969-12-31T23:59:59.000001Z",
            "2026-01-13T15:30:00.214007Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            let moment = Moment::new(time(text)).expect("within the years");
            assert!((0..1000).contains(&moment.micros()), "{moment:?}");
            assert_eq!(Moment::read(moment.date(), moment.micros()), Some(time(text)));
        }
    }

    #[test]
    fn what_is_no_time_of_ours_is_not_read() {
        let date = bson::DateTime::from_millis(0);
        for (date, micros) in [(date, -1), (date, 1000), (bson::DateTime::MAX, 0), (bson::DateTime::MIN, 0)] {
            assert_eq!(Moment::read(date, micros), None);
        }
    }

    #[test]
    fn outside_the_years_0_to_9999_there_are_no_moments_but_ends_of_ranges() {
        for odd in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            assert_eq!(Moment::new(odd), None);
        }
        let first = Moment::new(time("0000-01-01T00:00:00Z")).expect("a moment");
        let last = Moment::new(time("9999-12-31T23:59:59.999999Z")).expect("a moment");
        assert!(Moment::range_end(DateTime::<Utc>::MIN_UTC) <= first);
        assert!(last < Moment::range_end(DateTime::<Utc>::MAX_UTC));
        let later = time("2026-01-13T15:30:00.214007001Z");
        assert_eq!(
            Moment::range_end(later),
            Moment::new(time("2026-01-13T15:30:00.214008Z")).expect("a moment")
        );
    }
}
