//! Mails and how far they are.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de};
use url::Url;

use crate::EmailAddress;

/// Longest [`MailId`], in characters.
const MAX_ID_LEN: usize = 200;
/// Longest reason or error that is kept with a mail, in characters.
pub const MAX_REASON_CHARS: usize = 1_000;

/// What identifies a mail: equal for what must be sent only once. `digest:USER:DATE`, `confirm:USER:N`. Its Message-ID is derived
/// from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MailId(String);

/// A text that is no [`MailId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a mail has 1 to {MAX_ID_LEN} visible ASCII characters")]
pub struct MailIdError;

impl MailId {
    /// Checks 1 to 200 visible ASCII characters.
    ///
    /// # Errors
    /// [`MailIdError`].
    pub fn parse(text: impl Into<String>) -> Result<Self, MailIdError> {
        let text = text.into();
        let is_id =
            (1..=MAX_ID_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_id { Ok(Self(text)) } else { Err(MailIdError) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MailId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A picture that the HTML part shows with `<img src="cid:…">`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineImage {
    /// The name behind `cid:`: letters, digits, `-` and `_`. Unique within the mail.
    pub cid: String,
    /// PNG.
    pub png: Arc<[u8]>,
}

/// What a mail contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailContent {
    /// One line. Line breaks become spaces when it is sent.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
    /// Pictures of the HTML part.
    pub images: Vec<InlineImage>,
    /// Where one POST without a cookie ends the subscription (RFC 8058); `None` for mails that answer a person's own request.
    pub unsubscribe: Option<Url>,
}

/// A mail that has to be sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedMail {
    /// Stable for the same mail.
    pub id: MailId,
    /// One address; a mail to two people is two mails.
    pub recipient: EmailAddress,
    /// What it contains.
    pub content: MailContent,
    /// Its `Date`, to the millisecond.
    pub created_at: DateTime<Utc>,
    /// From then on it is not sent any more. To the millisecond.
    pub expires_at: DateTime<Utc>,
    /// It is about prices of a replayed recording: sent to a file outbox only, unless the settings allow more.
    pub is_recorded: bool,
}

/// How far a mail is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailState {
    /// It has to be sent.
    Owed {
        /// Tries that failed so far.
        attempts: u32,
        /// Not tried before.
        next_try_at: DateTime<Utc>,
        /// Why the last try failed, in at most [`MAX_REASON_CHARS`].
        last_error: Option<String>,
    },
    /// A mail server took it, or it is in the outbox.
    Sent {
        /// When.
        at: DateTime<Utc>,
    },
    /// The mail server refused it for ever, or the settings forbid to send it.
    Refused {
        /// When.
        at: DateTime<Utc>,
        /// Why, in at most [`MAX_REASON_CHARS`].
        reason: String,
    },
    /// Its time was over before a mail server took it.
    Expired {
        /// When.
        at: DateTime<Utc>,
        /// Why it was not sent, in at most [`MAX_REASON_CHARS`].
        reason: String,
    },
}

impl MailState {
    /// Of a mail that was never tried.
    pub fn new(due_at: DateTime<Utc>) -> Self {
        Self::Owed { attempts: 0, next_try_at: due_at, last_error: None }
    }

    /// It will not be tried again.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Owed { .. })
    }

    /// `owed`, `sent`, `refused` or `expired`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Owed { .. } => "owed",
            Self::Sent { .. } => "sent",
            Self::Refused { .. } => "refused",
            Self::Expired { .. } => "expired",
        }
    }
}

/// A mail as a store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMail {
    /// The mail.
    pub mail: OwedMail,
    /// How far it is.
    pub state: MailState,
}
