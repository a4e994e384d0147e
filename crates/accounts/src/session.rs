//! Sessions: a person who is signed in, in one browser.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Secret, SecretHash, UserId};

/// A session ends when it was not used for so long.
const IDLE: TimeDelta = TimeDelta::days(14);
/// A session ends so long after the sign-in at the latest.
const MAX_AGE: TimeDelta = TimeDelta::days(90);
/// The use of a session is recorded at most so often.
const RENEWAL_INTERVAL: TimeDelta = TimeDelta::hours(1);

/// A session. The browser has its secret in a cookie; the store has its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its identity in the store.
    pub hash: SecretHash,
    /// Who is signed in.
    pub user: UserId,
    /// When the person signed in.
    pub created_at: DateTime<Utc>,
    /// When it was last used, to the hour.
    pub seen_at: DateTime<Utc>,
    /// When it ends unless it is used before.
    pub expires_at: DateTime<Utc>,
}

impl Session {
    /// A new session, of a person who signs in now.
    pub fn start(secret: &Secret, user: UserId, now: DateTime<Utc>) -> Self {
        Self { hash: secret.hash(), user, created_at: now, seen_at: now, expires_at: now + IDLE }
    }

    /// Whether it has not ended.
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        now < self.expires_at
    }

    /// The session after it was used now; `None` where its use was recorded within the last hour.
    #[must_use]
    pub fn renewed(&self, now: DateTime<Utc>) -> Option<Self> {
        (now - self.seen_at >= RENEWAL_INTERVAL).then(|| {
            let expires_at = (now + IDLE).min(self.created_at + MAX_AGE);
            Self { seen_at: now, expires_at, ..self.clone() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lasts_while_it_is_used_and_no_longer_than_ninety_days() {
        let start: DateTime<Utc> = "2026-01-13T15:30:00Z".parse().expect("a time");
        let mut session = Session::start(&Secret::generate(), UserId::generate(start), start);
        assert_eq!(session.renewed(start + TimeDelta::minutes(59)), None);
        assert!(!session.is_valid(start + TimeDelta::days(14)));
        for day in 1.. {
            let now = start + TimeDelta::days(day);
            if !session.is_valid(now) {
                assert_eq!(day, 90);
                break;
            }
            session = session.renewed(now).expect("renewed");
        }
    }
}
