//! Digests: which stories each had, so that no reader gets a story twice. Not in archives, because the stories are not.

pub(crate) mod mongo;
pub(crate) mod sqlite;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{ArticleId, Result};

/// The most digests of one reader that are read.
pub const MAX_DIGESTS: usize = 400;

/// The stories of one digest.
#[derive(Clone, Debug, PartialEq)]
pub struct Digest {
    /// That of its mail.
    pub id: String,
    /// The address, in lower case.
    pub reader: String,
    /// When its stories were chosen, in whole milliseconds.
    pub created_at: DateTime<Utc>,
    /// The stories, in their order.
    pub stories: Vec<ArticleId>,
}

/// The store of digests.
///
/// # Contract
/// A digest is recorded once. What chooses stories again after a crash gets those that were recorded.
#[async_trait]
pub trait DigestStore: Send + Sync {
    /// Records a digest unless one of its identity is recorded, and returns the recorded one.
    async fn record_digest(&self, digest: &Digest) -> Result<Digest>;

    /// The digests of a reader from a time on, newest first, at most [`MAX_DIGESTS`].
    async fn digests_of(&self, reader: &str, since: DateTime<Utc>) -> Result<Vec<Digest>>;

    /// Removes digests that were created before `before`. Returns how many.
    async fn prune_digests(&self, before: DateTime<Utc>) -> Result<u64>;
}
