//! Identities of users.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};

/// The digits of a ULID: Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a ULID.
const LENGTH: usize = 26;
/// Bits behind the time.
const RANDOM_BITS: u32 = 80;

/// The identity of a user, a ULID: 48 bits of the time in milliseconds since 1970, then 80 random bits, as 26 digits of base
/// 32. Their order is that of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(u128);

impl UserId {
    /// A new identity of a user who registers now.
    pub fn generate(now: DateTime<Utc>) -> Self {
        let millis = now.timestamp_millis().max(0) as u128 & ((1 << 48) - 1);
        Self(millis << RANDOM_BITS | rand::random::<u128>() >> (u128::BITS - RANDOM_BITS))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; LENGTH];
        let mut rest = self.0;
        for digit in text.iter_mut().rev() {
            *digit = DIGITS[(rest % 32) as usize];
            rest /= 32;
        }
        f.pad(str::from_utf8(&text).unwrap_or_default())
    }
}

/// The text is no identity of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no identity of a user: use 26 digits and capital letters, such as 01KEY5Z0M8T3Q9V6J2R4B7N1XC")]
pub struct UserIdError;

impl FromStr for UserId {
    type Err = UserIdError;

    fn from_str(text: &str) -> Result<Self, UserIdError> {
        if text.len() != LENGTH {
            return Err(UserIdError);
        }
        let value = text.bytes().try_fold(0_u128, |value, byte| {
            let digit = DIGITS.iter().position(|digit| *digit == byte)?;
            // 26 digits have two bits more than an identity.
            value.checked_mul(32)?.checked_add(digit as u128)
        });
        value.map(Self).ok_or(UserIdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written_and_sorts_by_time() {
        let early = UserId::generate("2026-01-13T15:30:00Z".parse().expect("a time"));
        let late = UserId::generate("2026-01-13T15:30:00.001Z".parse().expect("a time"));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!("7ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse(), Ok(UserId(u128::MAX)));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "01KEY5Z0M8T3Q9V6J2R4B7N1X",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01KEY5Z0M8T3Q9V6J2R4B7N1XU",
            "é1KEY5Z0M8T3Q9V6J2R4B7N1X",
        ] {
            assert_eq!(text.parse::<UserId>(), Err(UserIdError), "{text}");
        }
    }
}
