//! Who gets a digest, and when. Pure.

use std::fmt::Write;

use alert_rules::Owner;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use job_runner::{Schedule, ScheduleError};
use mailer::{EmailAddress, MailId, MailIdError};
use market::Symbol;
use sha2::{Digest, Sha256};
use url::Url;

/// A digest that was missed is sent until noon, where the reader is.
const NOON: NaiveTime = NaiveTime::from_hms_opt(12, 0, 0).expect("a time");
/// One whose time is noon or later is sent until so many hours after it.
const WINDOW_HOURS: i64 = 4;
/// The time of a digest that may still be sent is at most so many hours ago: from midnight to noon, and an hour more where clocks are
/// set back in between.
const LONGEST_WINDOW_HOURS: i64 = 14;
/// Bytes of the hash of an address in the identity of a mail.
const HASH_BYTES: usize = 16;

/// A person who gets the digest.
#[derive(Clone, Debug)]
pub struct DigestReader {
    /// Where it is sent to.
    pub address: EmailAddress,
    /// Whose alerts it has.
    pub owner: Owner,
    /// What it is about; `None`: all watched symbols.
    pub symbols: Option<Vec<Symbol>>,
    /// When it is sent.
    pub schedule: Schedule,
    /// Whose date it has.
    pub zone: Tz,
    /// Where one POST ends it; `None` for recipients of the house.
    pub unsubscribe: Option<Url>,
}

/// A digest that is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DueDigest {
    /// Its date, where the reader is.
    pub(crate) date: NaiveDate,
    /// When it was due.
    pub(crate) since: DateTime<Utc>,
    /// From then on it is not sent any more.
    pub(crate) until: DateTime<Utc>,
}

impl DigestReader {
    /// A person with a digest at an hour (0 to 23) of a zone.
    ///
    /// # Errors
    /// An hour that no day has.
    pub fn at_hour(
        (address, owner): (EmailAddress, Owner),
        symbols: Vec<Symbol>,
        hour: u8,
        zone: Tz,
        unsubscribe: Option<Url>,
    ) -> Result<Self, ScheduleError> {
        let schedule = Schedule::parse(&format!("0 {hour} * * *"), zone)?;
        Ok(Self { address, owner, symbols: Some(symbols), schedule, zone, unsubscribe })
    }

    /// The digest that is due at `now`, also if it was missed some hours ago.
    pub(crate) fn due(&self, now: DateTime<Utc>) -> Option<DueDigest> {
        let longest = TimeDelta::hours(LONGEST_WINDOW_HOURS);
        let mut since = self.schedule.next(now - longest).filter(|first| *first <= now)?;
        while let Some(next) = self.schedule.next(since).filter(|next| *next <= now) {
            since = next;
        }
        let until = self.until(since);
        (now < until).then(|| DueDigest { date: self.date(since), since, until })
    }

    /// From when on a digest of this time is not sent any more.
    fn until(&self, since: DateTime<Utc>) -> DateTime<Utc> {
        let noon = self.date(since).and_time(NOON).and_local_timezone(self.zone).earliest();
        let noon = noon.map(|noon| noon.to_utc()).filter(|noon| since < *noon);
        noon.unwrap_or(since + TimeDelta::hours(WINDOW_HOURS))
    }

    /// The date at a moment, where the reader is.
    pub(crate) fn date(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone).date_naive()
    }

    /// The identity of the digest of a date: one an address and day, whatever the reader is. Senders log it, so that it has the hash of
    /// the address instead of the address.
    pub(crate) fn mail_id(&self, date: NaiveDate) -> Result<MailId, MailIdError> {
        let mut id = "digest:".to_owned();
        for byte in &Sha256::digest(self.address.key().as_bytes())[..HASH_BYTES] {
            // Writing to a string does not fail.
            let _ = write!(id, "{byte:02x}");
        }
        MailId::parse(format!("{id}:{date}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(hour: u8, zone: Tz) -> DigestReader {
        let address = EmailAddress::parse("Me@example.com").unwrap();
        DigestReader::at_hour((address, Owner::House), Vec::new(), hour, zone, None).unwrap()
    }

    fn due(reader: &DigestReader, now: &str) -> Option<String> {
        reader.due(now.parse().unwrap()).map(|due| due.date.to_string())
    }

    #[test]
    fn a_digest_is_sent_until_noon_where_the_reader_is() {
        let berlin = reader(8, chrono_tz::Europe::Berlin);
        assert_eq!(due(&berlin, "2026-01-13T06:59:59Z"), None);
        assert_eq!(due(&berlin, "2026-01-13T07:00:00Z").as_deref(), Some("2026-01-13"));
        assert_eq!(due(&berlin, "2026-01-13T10:59:59Z").as_deref(), Some("2026-01-13"));
        assert_eq!(due(&berlin, "2026-01-13T11:00:00Z"), None);
        assert_eq!(due(&berlin, "2026-07-13T06:00:00Z").as_deref(), Some("2026-07-13"), "summer");
        let midnight = reader(0, chrono_tz::Asia::Tokyo);
        assert_eq!(due(&midnight, "2026-01-13T15:00:00Z").as_deref(), Some("2026-01-14"));
        assert_eq!(due(&midnight, "2026-01-14T02:59:59Z").as_deref(), Some("2026-01-14"));
        assert_eq!(due(&midnight, "2026-01-14T03:00:00Z"), None);
        let late_morning = reader(11, chrono_tz::UTC);
        assert_eq!(due(&late_morning, "2026-01-13T11:59:59Z").as_deref(), Some("2026-01-13"));
        assert_eq!(due(&late_morning, "2026-01-13T12:00:00Z"), None);
    }

    #[test]
    fn a_digest_of_the_afternoon_is_sent_for_four_hours() {
        let noon = reader(12, chrono_tz::UTC);
        assert_eq!(due(&noon, "2026-01-13T15:59:59Z").as_deref(), Some("2026-01-13"));
        assert_eq!(due(&noon, "2026-01-13T16:00:00Z"), None);
        let late = reader(23, chrono_tz::UTC);
        assert_eq!(
            due(&late, "2026-01-14T01:00:00Z").as_deref(),
            Some("2026-01-13"),
            "the day when it was due"
        );
    }

    /// The times at which digests of a day become due, as seen every ten minutes.
    fn times(reader: &DigestReader, date: &str) -> Vec<String> {
        let date: NaiveDate = date.parse().unwrap();
        let begin = date.and_time(NaiveTime::MIN).and_utc() - TimeDelta::hours(15);
        let seen = (0..48 * 6).filter_map(|n| reader.due(begin + TimeDelta::minutes(10 * n)));
        let all = seen.filter(|due| due.date == date);
        let mut times: Vec<String> = all.map(|due| due.since.format("%H:%MZ").to_string()).collect();
        times.dedup();
        times
    }

    #[test]
    fn an_hour_that_clocks_leave_out_or_repeat_has_one_digest() {
        let berlin = |hour| reader(hour, chrono_tz::Europe::Berlin);
        assert_eq!(times(&berlin(2), "2026-03-29"), ["01:00Z"], "at the first minute after the gap: 03:00");
        assert_eq!(times(&berlin(3), "2026-03-29"), ["01:00Z"]);
        assert_eq!(times(&berlin(2), "2026-10-25"), ["00:00Z"], "the first of the two");
        assert_eq!(times(&berlin(8), "2026-03-29"), ["06:00Z"]);
        assert_eq!(times(&berlin(8), "2026-10-25"), ["07:00Z"]);
        // Clocks are set forward at midnight, so that the day begins at 01:00.
        assert_eq!(times(&reader(0, chrono_tz::Africa::Cairo), "2026-04-24"), ["22:00Z"]);
        assert_eq!(times(&reader(1, chrono_tz::America::New_York), "2026-11-01"), ["05:00Z"]);
        assert_eq!(times(&reader(2, chrono_tz::Australia::Lord_Howe), "2026-10-04"), ["15:30Z"], "02:30");
    }

    #[test]
    fn one_mail_an_address_and_day_has_one_identity_without_the_address() {
        let date = "2026-01-13".parse().unwrap();
        let of = |address: &str| {
            let address = EmailAddress::parse(address).unwrap();
            let reader = DigestReader { address, ..reader(8, chrono_tz::UTC) };
            reader.mail_id(date).unwrap().as_str().to_owned()
        };
        let id = of("me@example.com");
        assert!(id.starts_with("digest:") && id.ends_with(":2026-01-13") && id.len() == 50, "{id}");
        assert!(!id.contains("me@") && !id.contains("example"), "{id}");
        assert_eq!(id, of("ME@Example.com"));
        assert_ne!(id, of("other@example.com"));
    }

    #[test]
    fn no_day_has_an_hour_24() {
        let address = EmailAddress::parse("me@example.com").unwrap();
        assert!(
            DigestReader::at_hour((address, Owner::House), Vec::new(), 24, chrono_tz::UTC, None).is_err()
        );
    }
}
