//! One-time tokens of links in mails. They are not archived: they expire within days, and the links name the host of one
//! installation.

pub(crate) mod mongo;
pub(crate) mod sqlite;

use accounts::{OneTimeToken, SecretHash, UserId};
use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::Result;

/// Tokens, by the hash of the secret in their link.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// Adds a token.
    async fn add_token(&self, token: &OneTimeToken) -> Result<()>;

    /// The token of a hash, which may have expired.
    async fn token(&self, hash: SecretHash) -> Result<Option<OneTimeToken>>;

    /// Removes a token. Of several at once that remove it, one is returned `true`.
    async fn remove_token(&self, hash: SecretHash) -> Result<bool>;

    /// Removes the tokens of a user. How many.
    async fn remove_tokens_of(&self, user: UserId) -> Result<u64>;

    /// Removes tokens that expired before `before`. How many.
    async fn prune_tokens(&self, before: DateTime<Utc>) -> Result<u64>;
}
