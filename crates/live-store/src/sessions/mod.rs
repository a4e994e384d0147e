//! Sessions of people who are signed in. They are not archived: a session belongs to a cookie of one installation, and the person can
//! sign in again.

pub(crate) mod mongo;
pub(crate) mod sqlite;

use accounts::{SecretHash, Session, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::Result;

/// Sessions, by the hash of the secret in their cookie.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Adds a session, or replaces the one of its hash.
    async fn save_session(&self, session: &Session) -> Result<()>;

    /// Stores that a session was used, unless it has been removed. Whether it is there.
    async fn renew_session(&self, session: &Session) -> Result<bool>;

    /// The session of a hash, which may have expired.
    async fn session(&self, hash: SecretHash) -> Result<Option<Session>>;

    /// The sessions of a user, oldest first.
    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>>;

    /// Removes a session. Whether there was one.
    async fn remove_session(&self, hash: SecretHash) -> Result<bool>;

    /// Removes the sessions of a user. How many.
    async fn remove_sessions_of(&self, user: UserId) -> Result<u64>;

    /// Removes sessions that expired before `before`. How many.
    async fn prune_sessions(&self, before: DateTime<Utc>) -> Result<u64>;
}
