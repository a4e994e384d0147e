//! Users: accounts of people.
//!
//! They are not archived yet: an export is handed on as price data, too, and must not have addresses and password hashes in it unless it
//! is asked for. Until an export of accounts has a flag of its own, they are in backups of the file or the database.

pub(crate) mod mongo;
pub(crate) mod sqlite;

use accounts::{User, UserId};
use async_trait::async_trait;
use owed_mails::EmailAddress;

use crate::Result;

/// Most users that [`UserStore::users`] returns at once.
pub const MAX_PAGE_USERS: u32 = 1_000;

/// Users. Of several spellings of one address one is a user: [`EmailAddress::key`] is unique. Every call is atomic.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Adds a user; `false`, and nothing changes, where the identity or the address is taken. Of several at once that add a user of
    /// one address one succeeds.
    async fn add_user(&self, user: &User) -> Result<bool>;

    /// The user of an identity.
    async fn user(&self, id: UserId) -> Result<Option<User>>;

    /// The user of an address, in any spelling.
    async fn user_of(&self, email: &EmailAddress) -> Result<Option<User>>;

    /// Stores a change of a user whose stored revision is `user.revision`, and raises that by one. `false`, and nothing changes, where it
    /// is another, because the user was changed or removed meanwhile: read it again. The address does not change.
    async fn change_user(&self, user: &User) -> Result<bool>;

    /// At most `limit` users behind `after` in the order of their identities, which is that of registration. At most
    /// [`MAX_PAGE_USERS`].
    async fn users(&self, after: Option<UserId>, limit: u32) -> Result<Vec<User>>;

    /// Removes a user, of any revision or only of this one. Whether there was one.
    async fn remove_user(&self, id: UserId, revision: Option<u64>) -> Result<bool>;
}
