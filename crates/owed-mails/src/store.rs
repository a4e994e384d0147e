//! Where owed mails are kept.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::{EmailAddress, MailId, MailState, OwedMail, StoredMail};

/// Any failure of a store. The same call may succeed later.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Most mails that [`MailStore::mails_to`] returns.
pub const MAX_MAILS_TO: u32 = 1_000;

/// Owed and sent mails, shared by all processes that send. Every call is atomic.
///
/// A mail that is tried is leased to one owner until a time. An owner that dies keeps the lease until then; afterwards any other
/// takes it. Times are those of the callers' clocks, which must be closer together than a lease is long; they are kept to the
/// millisecond.
#[async_trait]
pub trait MailStore: Send + Sync {
    /// Stores a mail as owed from its `created_at` on, unless there is one of its id. Whether it is new.
    async fn add_mail(&self, mail: &OwedMail) -> Result<bool, StoreError>;

    /// Leases the mail that has been due for longest to `owner` until `until`: it is owed, due at `now`, and not leased beyond
    /// `now`. `None` if there is none.
    async fn lease_mail(
        &self,
        owner: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<StoredMail>, StoreError>;

    /// Extends the lease of `owner`. Whether it still was the owner's.
    async fn renew_mail(&self, id: &MailId, owner: &str, until: DateTime<Utc>) -> Result<bool, StoreError>;

    /// Ends the lease of `owner` and stores the state. Whether it was the owner's; otherwise nothing changes. A state that is
    /// final stays: its mail cannot be leased.
    async fn finish_try(&self, id: &MailId, owner: &str, state: &MailState) -> Result<bool, StoreError>;

    /// The mails of these ids that are stored, in the order of `ids`.
    async fn mails(&self, ids: &[MailId]) -> Result<Vec<StoredMail>, StoreError>;

    /// The mails to a person that were created at or after `since`, oldest first, without their images. At most
    /// [`MAX_MAILS_TO`], the newest ones.
    async fn mails_to(
        &self,
        recipient: &EmailAddress,
        since: DateTime<Utc>,
    ) -> Result<Vec<StoredMail>, StoreError>;

    /// Why its reader, a person with an account, does not receive this mail any more: such mails were ended, or the account was deleted,
    /// after it became owed. `None` where that is not so, and of a mail without a link to unsubscribe.
    async fn declined(&self, mail: &OwedMail) -> Result<Option<&'static str>, StoreError>;

    /// How many mails are owed, due or not.
    async fn owed_mails(&self) -> Result<u64, StoreError>;

    /// Removes mails that were created before `before` and are in a final state or expired before `before`. How many.
    async fn prune_mails(&self, before: DateTime<Utc>) -> Result<u64, StoreError>;
}
