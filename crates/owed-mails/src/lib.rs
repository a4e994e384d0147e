//! Mails that a service owes. Each is one document of a [`MailStore`], stored under a stable [`MailId`] before it is sent, so that
//! it is sent once, whatever is killed. No I/O; the crate `mailer` sends, `live-store` keeps.

mod address;
mod mail;
mod store;

pub use address::{AddressError, EmailAddress};
pub use mail::{
    InlineImage, MAX_REASON_CHARS, MailContent, MailId, MailIdError, MailState, OwedMail, StoredMail,
};
pub use store::{MAX_MAILS_TO, MailStore, StoreError};
