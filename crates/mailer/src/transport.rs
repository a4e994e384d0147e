//! From a mail to a mail server or a file.

use owed_mails::OwedMail;

use crate::{MailSettings, MailSettingsError};

/// Sends mails to the place of the settings.
#[derive(Clone, Debug)]
pub struct Mailer {}

/// Why a mail was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The same mail may be sent later.
    #[error("{0}")]
    Transient(String),
    /// Trying again does not help.
    #[error("{0}")]
    Refused(String),
}

impl Mailer {
    /// Checks the settings; connects to nothing.
    ///
    /// # Errors
    /// A setting that cannot be used, by its name.
    pub fn open(_settings: &MailSettings) -> Result<Self, MailSettingsError> {
        todo!()
    }

    /// Sends one mail.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, _mail: &OwedMail) -> Result<(), SendError> {
        todo!()
    }
}
