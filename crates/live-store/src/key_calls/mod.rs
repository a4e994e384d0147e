//! The calls that are made with the keys of providers: one ledger for all services, so that what several of them use together stays
//! within what the provider allows, also after restarts. The decision is pure; both adapters store its result atomically.

pub(crate) mod mongo;
mod settings;
pub(crate) mod sqlite;

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Result;

pub use self::settings::AlphaVantageAccount;

/// Bytes of the hash that name a key: enough to tell keys apart, too few to confirm one that was guessed with certainty.
const FINGERPRINT_BYTES: usize = 6;
/// A key without calls for so long has no row any more.
const KEPT: Days = Days::new(7);
/// The window of the limit a minute: any 60 seconds, as it is not known where the provider's minutes begin.
const WINDOW: TimeDelta = TimeDelta::seconds(60);
/// The most calls a minute that are counted; a higher limit is taken for this one.
const MAX_PER_MINUTE: u32 = 1_000;

/// Names a key without containing it: the provider and the beginning of the key's SHA-256, `alpha_vantage:1f2e3d4c5b6a`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// The name of a key at a provider.
    pub fn of(provider: &str, key: &SecretString) -> Self {
        let hash = Sha256::digest(key.expose_secret().as_bytes());
        let digits: String = hash.iter().take(FINGERPRINT_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("{provider}:{digits}"))
    }

    /// As it is stored and shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn stored(text: &str) -> Result<Self, InvalidKeyId> {
        match text.split_once(':') {
            Some((provider, digits)) if !provider.is_empty() && !digits.is_empty() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidKeyId),
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a call is for. Each purpose has a share of its own of the calls of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallPurpose {
    /// Prices, by the producer.
    Prices,
    /// News, by the news.
    News,
}

impl CallPurpose {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prices => "prices",
            Self::News => "news",
        }
    }
}

impl fmt::Display for CallPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that names no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no name of a key, such as alpha_vantage:1f2e3d4c5b6a")]
struct InvalidKeyId;

/// What a provider allows with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// Calls within any 60 seconds, of all purposes together.
    pub per_minute: u32,
    /// Calls a UTC day for prices.
    pub prices_per_day: u32,
    /// Calls a UTC day for news.
    pub news_per_day: u32,
}

impl KeyLimits {
    /// Calls a UTC day for a purpose.
    pub fn per_day(&self, purpose: CallPurpose) -> u32 {
        match purpose {
            CallPurpose::Prices => self.prices_per_day,
            CallPurpose::News => self.news_per_day,
        }
    }

    /// Calls a UTC day of all purposes.
    fn day(&self) -> u32 {
        self.prices_per_day.saturating_add(self.news_per_day)
    }
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyCall {
    /// It may, and it is counted, also where it fails: the provider may have counted it.
    Taken {
        /// Calls of the UTC day for this purpose, with this one.
        today: u32,
    },
    /// It may not.
    Refused {
        /// From then on one may be free.
        free_at: DateTime<Utc>,
    },
}

/// The calls of one UTC day with one key for one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUsage {
    /// The key.
    pub key: KeyId,
    /// The purpose.
    pub purpose: CallPurpose,
    /// Calls of today.
    pub calls: u32,
    /// The limit when the last call was taken.
    pub limit: u32,
    /// When the last call was made, on that day or before.
    pub last_at: DateTime<Utc>,
}

/// The ledger of calls.
///
/// # Contract
/// - [`KeyCallStore::take_call`] is atomic for all processes on all hosts: together they take no more calls of a key than its limits
///   allow. A day is one of UTC, a minute any 60 seconds.
/// - The limits are those of the caller: each purpose keeps to its own share, and all together to the sum of the shares.
/// - A call is taken before it is made, and is never returned.
/// - The store contains [`KeyId`]s, never keys. A key without a call for a week has no row any more.
#[async_trait]
pub trait KeyCallStore: Send + Sync {
    /// Takes one call, or says when to try again.
    async fn take_call(
        &self,
        key: &KeyId,
        purpose: CallPurpose,
        limits: &KeyLimits,
        now: DateTime<Utc>,
    ) -> Result<KeyCall>;

    /// The calls of the day of `now`, by key and purpose. Purposes of a key that were never used are missing.
    async fn key_usage(&self, now: DateTime<Utc>) -> Result<Vec<KeyUsage>>;
}

/// The usage of one purpose of a key. What was never used has no calls.
pub fn calls_today(usage: &[KeyUsage], key: &KeyId, purpose: CallPurpose) -> u32 {
    let found = usage.iter().find(|usage| usage.key == *key && usage.purpose == purpose);
    found.map_or(0, |usage| usage.calls)
}

/// What is stored of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyRow {
    /// The UTC day that the calls are of.
    day: NaiveDate,
    /// By purpose.
    calls: Vec<PurposeCalls>,
    /// When the newest calls were taken, oldest first: as many as the limit a minute.
    recent: Vec<DateTime<Utc>>,
    /// Counts the changes: a writer that read an older one changes nothing.
    revision: u64,
}

/// The calls of one purpose, as JSON in both stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PurposeCalls {
    purpose: CallPurpose,
    calls: u32,
    limit: u32,
    last_at: DateTime<Utc>,
}

impl KeyRow {
    fn new(day: NaiveDate) -> Self {
        Self { day, calls: Vec::new(), recent: Vec::new(), revision: 0 }
    }

    /// The row as of a day: without the calls of earlier ones. A day ahead is that of a host whose clock is; further ahead is a clock
    /// that was wrong and was corrected.
    fn of_day(mut self, today: NaiveDate) -> Self {
        let is_of_day = self.day == today || today.succ_opt() == Some(self.day);
        if !is_of_day {
            self.day = today;
            for purpose in &mut self.calls {
                purpose.calls = 0;
            }
        }
        self
    }

    /// Takes a call: the row with it, or when to try again.
    fn take(
        self,
        purpose: CallPurpose,
        limits: &KeyLimits,
        now: DateTime<Utc>,
    ) -> Result<(Self, u32), DateTime<Utc>> {
        let mut row = self.of_day(now.date_naive());
        let count = |wanted: &dyn Fn(&PurposeCalls) -> bool| -> u32 {
            row.calls
                .iter()
                .filter(|calls| wanted(calls))
                .fold(0, |sum, calls| sum.saturating_add(calls.calls))
        };
        let (of_purpose, of_all) = (count(&|calls| calls.purpose == purpose), count(&|_| true));
        if of_purpose >= limits.per_day(purpose) || of_all >= limits.day() {
            return Err(day_after(row.day));
        }
        let per_minute = limits.per_minute.clamp(1, MAX_PER_MINUTE) as usize;
        // Those of a clock that was ahead count while they may be of this minute.
        row.recent.retain(|taken| *taken > now - WINDOW && *taken < now + WINDOW);
        row.recent.sort_unstable();
        if let Some(first) = row.recent.len().checked_sub(per_minute).and_then(|place| row.recent.get(place))
        {
            return Err(*first + WINDOW);
        }
        row.recent.push(now);
        let entry =
            PurposeCalls { purpose, calls: of_purpose + 1, limit: limits.per_day(purpose), last_at: now };
        let today = entry.calls;
        match row.calls.iter_mut().find(|calls| calls.purpose == purpose) {
            Some(calls) => *calls = entry,
            None => row.calls.push(entry),
        }
        row.calls.sort_unstable_by_key(|calls| calls.purpose);
        row.revision += 1;
        Ok((row, today))
    }

    fn usage(self, key: &KeyId, now: DateTime<Utc>) -> impl Iterator<Item = KeyUsage> {
        self.of_day(now.date_naive()).calls.into_iter().map(
            |PurposeCalls { purpose, calls, limit, last_at }| KeyUsage {
                key: key.clone(),
                purpose,
                calls,
                limit,
                last_at,
            },
        )
    }
}

fn day_after(day: NaiveDate) -> DateTime<Utc> {
    day.succ_opt().unwrap_or(NaiveDate::MAX).and_time(NaiveTime::MIN).and_utc()
}

/// Rows of days before this one are removed.
fn kept_from(now: DateTime<Utc>) -> NaiveDate {
    now.date_naive().checked_sub_days(KEPT).unwrap_or(NaiveDate::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: KeyLimits = KeyLimits { per_minute: 2, prices_per_day: 3, news_per_day: 1 };

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-01-13T{text}Z").parse().expect("a time")
    }

    fn row() -> KeyRow {
        KeyRow::new(at("00:00:00").date_naive())
    }

    #[test]
    fn a_key_is_named_by_its_provider_and_the_beginning_of_its_hash() {
        let key = SecretString::from("SECRETKEY1");
        let id = KeyId::of("alpha_vantage", &key);
        assert_eq!(id, KeyId::of("alpha_vantage", &key));
        assert_ne!(id, KeyId::of("finnhub", &key));
        assert_ne!(id, KeyId::of("alpha_vantage", &SecretString::from("SECRETKEY2")));
        assert_eq!((id.as_str().len(), id.as_str().contains("SECRET")), ("alpha_vantage:".len() + 12, false));
        assert_eq!(KeyId::stored(id.as_str()), Ok(id));
        assert!(KeyId::stored("nonsense").is_err());
    }

    #[test]
    fn a_minute_is_any_sixty_seconds() {
        let (row, today) = row().take(CallPurpose::Prices, &LIMITS, at("10:00:30")).expect("taken");
        assert_eq!(today, 1);
        let (row, today) = row.take(CallPurpose::News, &LIMITS, at("10:00:50")).expect("taken");
        assert_eq!(today, 1);
        let refused =
            row.clone().take(CallPurpose::Prices, &LIMITS, at("10:01:29")).expect_err("two a minute");
        assert_eq!(refused, at("10:01:30"));
        let (row, today) = row.take(CallPurpose::Prices, &LIMITS, refused).expect("taken");
        assert_eq!((today, row.recent, row.revision), (2, vec![at("10:00:50"), at("10:01:30")], 3));
    }

    #[test]
    fn a_clock_that_was_far_ahead_does_not_block_a_key() {
        let (ahead, _) =
            row().take(CallPurpose::News, &LIMITS, at("23:59:59") + TimeDelta::days(40)).expect("taken");
        let (now, today) = ahead.take(CallPurpose::News, &LIMITS, at("10:00:00")).expect("taken");
        assert_eq!((today, now.day), (1, at("00:00:00").date_naive()));
        // A little ahead is the next day already.
        let refused = now.clone().take(CallPurpose::News, &LIMITS, at("11:00:00")).expect_err("one a day");
        assert_eq!(refused, at("00:00:00") + TimeDelta::days(1));
        let (tomorrow, _) = now.take(CallPurpose::News, &LIMITS, refused).expect("taken");
        let refused =
            tomorrow.take(CallPurpose::News, &LIMITS, at("23:59:58")).expect_err("of the day ahead");
        assert_eq!(refused, at("00:00:00") + TimeDelta::days(2));
    }
}
