//! Users and what they chose.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use market::Symbol;
use owed_mails::EmailAddress;

use crate::{PasswordHash, Secret, UserId};

/// Most symbols that a person watches.
pub const MAX_WATCHED_SYMBOLS: usize = 100;

/// An account.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Its identity.
    pub id: UserId,
    /// Where mails go, and the name at sign-in. No two users have addresses of the same [`EmailAddress::key`].
    pub email: EmailAddress,
    /// Of the password.
    pub password: PasswordHash,
    /// When the person proved to receive mails at the address; until then only the mails for that are sent.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// For the hour of the digest.
    pub time_zone: Tz,
    /// The watched symbols, in the order chosen, without repeats.
    pub watch_list: Vec<Symbol>,
    /// Changes from the open of a watched symbol in either direction from so much on are alerts; `None`: they are not.
    pub threshold: Option<Threshold>,
    /// Whether alerts are mailed.
    pub mails_alerts: bool,
    /// The morning digest.
    pub digest: Digest,
    /// What unsubscribe links follow from.
    pub unsubscribe_key: Secret,
    /// When the person registered.
    pub created_at: DateTime<Utc>,
    /// Counts the changes; a change is stored only over the one before it.
    pub revision: u64,
}

/// When the digest is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Whether it is sent.
    pub is_on: bool,
    /// At this hour of the person's time zone.
    pub hour: DigestHour,
}

impl User {
    /// A new user, who has confirmed nothing yet and gets every mail that can be chosen.
    pub fn new(email: EmailAddress, password: PasswordHash, now: DateTime<Utc>) -> Self {
        Self {
            id: UserId::generate(now),
            email,
            password,
            confirmed_at: None,
            time_zone: Tz::UTC,
            watch_list: Vec::new(),
            threshold: Some(Threshold::DEFAULT),
            mails_alerts: true,
            digest: Digest { is_on: true, hour: DigestHour::DEFAULT },
            unsubscribe_key: Secret::generate(),
            created_at: now,
            revision: 0,
        }
    }

    /// Whether the person proved to receive mails at the address.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed_at.is_some()
    }
}

/// What is wrong with a field that a person filled in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FieldError(String);

/// A full hour of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DigestHour(u8);

impl DigestHour {
    /// 08:00.
    pub const DEFAULT: Self = Self(8);

    /// Every hour.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..24).map(Self)
    }

    /// 0 to 23.
    pub fn get(self) -> u8 {
        self.0
    }

    /// An hour from 0 to 23.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let hour = text.trim().parse::<u8>().ok().filter(|hour| *hour < 24);
        hour.map(Self).ok_or_else(|| FieldError("the hour must be a whole number from 0 to 23".to_owned()))
    }
}

/// A change of a price in percent, from 0.1 to 100.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Threshold(f64);

impl Threshold {
    /// 5 %.
    pub const DEFAULT: Self = Self(5.0);

    /// Percent.
    pub fn percent(self) -> f64 {
        self.0
    }

    /// From a number in percent.
    ///
    /// # Errors
    /// It is not from 0.1 to 100.
    pub fn new(percent: f64) -> Result<Self, FieldError> {
        if (0.1..=100.0).contains(&percent) {
            return Ok(Self(percent));
        }
        Err(FieldError("the change must be a number of percent from 0.1 to 100, such as 5 or 2.5".to_owned()))
    }

    /// A text, which may have a percent sign and a decimal comma; `None` where it is empty.
    ///
    /// # Errors
    /// It is no number from 0.1 to 100.
    pub fn parse(text: &str) -> Result<Option<Self>, FieldError> {
        let text = text.trim().trim_end_matches('%').trim_end().replace(',', ".");
        if text.is_empty() {
            return Ok(None);
        }
        Self::new(text.parse().unwrap_or(f64::NAN)).map(Some)
    }
}

/// A watch list as it is typed: symbols behind commas or white space. Repeats are dropped.
///
/// # Errors
/// The first text that is no symbol, or too many symbols.
pub fn parse_watch_list(text: &str) -> Result<Vec<Symbol>, FieldError> {
    let mut symbols = Vec::new();
    let is_between = |character: char| character == ',' || character == ';' || character.is_whitespace();
    for part in text.split(is_between).filter(|part| !part.is_empty()) {
        let symbol = Symbol::parse(part).map_err(|error| FieldError(error.to_string()))?;
        if !symbols.contains(&symbol) {
            symbols.push(symbol);
        }
        if symbols.len() > MAX_WATCHED_SYMBOLS {
            return Err(FieldError(format!("the watch list may have at most {MAX_WATCHED_SYMBOLS} symbols")));
        }
    }
    Ok(symbols)
}

/// A time zone by its name in the IANA database, in any case.
///
/// # Errors
/// There is none of that name.
pub fn parse_time_zone(text: &str) -> Result<Tz, FieldError> {
    let name = text.trim();
    let known = chrono_tz::TZ_VARIANTS.iter().find(|zone| zone.name().eq_ignore_ascii_case(name));
    known.copied().ok_or_else(|| {
        let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
        FieldError(format!(
            "`{shown}` is no time zone: use a name such as Europe/Berlin, America/New_York or UTC"
        ))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use rstest::rstest;

    use super::*;

    pub(crate) fn user() -> User {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";
        let email = EmailAddress::parse("jane@example.com").expect("an address");
        User::new(email, PasswordHash::parse(hash).expect("a hash"), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_watch_list_is_read_however_it_is_separated() {
        let symbols = parse_watch_list(" aapl, MSFT;btc-usdt\n AAPL ").expect("a list");
        let names: Vec<&str> = symbols.iter().map(Symbol::as_str).collect();
        assert_eq!(names, ["AAPL", "MSFT", "BTC/USDT"]);
        assert_eq!(parse_watch_list(" , ").expect("an empty list"), []);
        assert!(parse_watch_list("AAPL <script>").is_err());
        let many: Vec<String> = (0..=MAX_WATCHED_SYMBOLS).map(|n| format!("A{n}/USD")).collect();
        let error = parse_watch_list(&many.join(" ")).expect_err("too many");
        assert!(error.to_string().contains("at most 100"), "{error}");
    }

    #[rstest]
    #[case("", Ok(None))]
    #[case(" 2,5 % ", Ok(Some(2.5)))]
    #[case("0.1", Ok(Some(0.1)))]
    #[case("100", Ok(Some(100.0)))]
    #[case("0", Err(()))]
    #[case("-5", Err(()))]
    #[case("NaN", Err(()))]
    #[case("inf", Err(()))]
    #[case("five", Err(()))]
    #[case("100.1", Err(()))]
    fn a_threshold_is_a_number_of_percent(#[case] text: &str, #[case] expected: Result<Option<f64>, ()>) {
        let parsed = Threshold::parse(text).map(|threshold| threshold.map(Threshold::percent));
        assert_eq!(parsed.map_err(drop), expected);
    }

    #[test]
    fn time_zones_and_hours_are_checked() {
        assert_eq!(parse_time_zone(" europe/BERLIN "), Ok(Tz::Europe__Berlin));
        let error = parse_time_zone("Mars/Olympus\n").expect_err("no zone");
        assert!(error.to_string().starts_with("`Mars/Olympus`"), "{error}");
        assert_eq!(DigestHour::parse("7").map(DigestHour::get), Ok(7));
        for text in ["24", "-1", "", "8:00", "８"] {
            assert!(DigestHour::parse(text).is_err(), "{text}");
        }
    }
}
