//! Who gets a digest, and when. Pure.

use std::fmt::Write;

use alert_rules::Owner;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use job_runner::{Schedule, ScheduleError};
use mailer::{EmailAddress, MailId, MailIdError};
use market::Symbol;
use sha2::{Digest, Sha256};
use url::Url;

/// A digest that was missed is sent until so many hours after its time: one of 08:00 until noon.
const WINDOW_HOURS: i64 = 4;
/// Longer addresses are hashed in the identity of a mail.
const MAX_KEY_BYTES: usize = 150;

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
        let window = TimeDelta::hours(WINDOW_HOURS);
        let mut since = self.schedule.next(now - window).filter(|first| *first <= now)?;
        while let Some(next) = self.schedule.next(since).filter(|next| *next <= now) {
            since = next;
        }
        Some(DueDigest { date: self.date(since), since, until: since + window })
    }

    /// The date at a moment, where the reader is.
    pub(crate) fn date(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.zone).date_naive()
    }

    /// The identity of the digest of a date: one a reader and day.
    pub(crate) fn mail_id(&self, date: NaiveDate) -> Result<MailId, MailIdError> {
        let mut key = self.address.key();
        if key.len() > MAX_KEY_BYTES {
            let hash = Sha256::digest(key.as_bytes());
            key.clear();
            for byte in hash.iter().take(16) {
                let _ = write!(key, "{byte:02x}");
            }
        }
        MailId::parse(format!("digest:{key}:{date}"))
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
    fn a_digest_of_eight_is_sent_until_noon_where_the_reader_is() {
        let berlin = reader(8, chrono_tz::Europe::Berlin);
        assert_eq!(due(&berlin, "2026-01-13T06:59:59Z"), None);
        assert_eq!(due(&berlin, "2026-01-13T07:00:00Z").as_deref(), Some("2026-01-13"));
        assert_eq!(due(&berlin, "2026-01-13T10:59:59Z").as_deref(), Some("2026-01-13"));
        assert_eq!(due(&berlin, "2026-01-13T11:00:00Z"), None);
        assert_eq!(due(&berlin, "2026-07-13T06:00:00Z").as_deref(), Some("2026-07-13"), "summer");
        let late = reader(23, chrono_tz::UTC);
        assert_eq!(
            due(&late, "2026-01-14T01:00:00Z").as_deref(),
            Some("2026-01-13"),
            "the day when it was due"
        );
    }

    #[test]
    fn one_mail_a_reader_and_day_has_one_identity() {
        let date = "2026-01-13".parse().unwrap();
        let id = reader(8, chrono_tz::UTC).mail_id(date).unwrap();
        assert_eq!(id.as_str(), "digest:me@example.com:2026-01-13");
        let long = format!("{}@{}.example.com", "a".repeat(64), "b".repeat(60) + "." + &"c".repeat(60));
        let reader =
            DigestReader { address: EmailAddress::parse(&long).unwrap(), ..reader(8, chrono_tz::UTC) };
        assert!(reader.mail_id(date).unwrap().as_str().len() < 60);
        assert!(
            DigestReader::at_hour((reader.address, Owner::House), Vec::new(), 24, chrono_tz::UTC, None)
                .is_err()
        );
    }
}
