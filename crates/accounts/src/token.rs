//! One-time tokens in the links of mails.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Secret, SecretHash, UserId};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenPurpose {
    /// To confirm an address.
    Confirm,
    /// To choose a new password.
    Reset,
}

impl TokenPurpose {
    /// `confirm` or `reset`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Reset => "reset",
        }
    }

    /// How long a token of this purpose is valid.
    pub fn lifetime(self) -> TimeDelta {
        match self {
            Self::Confirm => TimeDelta::hours(48),
            Self::Reset => TimeDelta::hours(1),
        }
    }
}

impl FromStr for TokenPurpose {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Confirm, Self::Reset];
        all.into_iter().find(|purpose| purpose.as_str() == text).ok_or("is no purpose of a token")
    }
}

/// A token that is valid once. The link has its secret; the store has its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeToken {
    /// Its identity in the store.
    pub hash: SecretHash,
    /// What it is for.
    pub purpose: TokenPurpose,
    /// Whose it is.
    pub user: UserId,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// From then on it is not valid.
    pub expires_at: DateTime<Utc>,
}

impl OneTimeToken {
    /// A new token.
    pub fn issue(secret: &Secret, purpose: TokenPurpose, user: UserId, now: DateTime<Utc>) -> Self {
        Self { hash: secret.hash(), purpose, user, created_at: now, expires_at: now + purpose.lifetime() }
    }

    /// Whether it is for this purpose and has not expired.
    pub fn is_valid(&self, purpose: TokenPurpose, now: DateTime<Utc>) -> bool {
        self.purpose == purpose && now < self.expires_at
    }
}
