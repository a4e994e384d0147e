//! From a mail to a mail server or a file.

use std::{fmt, io, sync::Arc};

use owed_mails::OwedMail;

use crate::{
    MailSettings, MailSettingsError,
    message::{self, address},
    outbox::Outbox,
    sender_address::Sender,
    settings::{Parsed, Place, RecordedMails},
    smtp::SmtpClient,
};

/// Sends mails to the place of the settings.
#[derive(Clone)]
pub struct Mailer {
    transport: Arc<Transport>,
    sender: Sender,
}

enum Transport {
    Smtp { client: SmtpClient, recorded: RecordedTransport },
    Outbox(Outbox),
}

/// See [`RecordedMails`].
enum RecordedTransport {
    Sent,
    Outbox(Outbox),
    Refused,
}

/// Why a mail was not sent. No text contains a password or the address of the recipient.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The mail server is away, or does not work with the settings: no mail can be sent. All stay owed.
    #[error("{0}")]
    Unavailable(String),
    /// This mail may be sent later.
    #[error("{0}")]
    Transient(String),
    /// Trying this mail again does not help.
    #[error("{0}")]
    Refused(String),
}

impl Mailer {
    /// Checks the settings; connects to nothing.
    ///
    /// # Errors
    /// A setting that cannot be used, by its name.
    pub fn open(settings: &MailSettings) -> Result<Self, MailSettingsError> {
        let Parsed { place, sender } = settings.parse()?;
        let transport = match place {
            Place::Outbox(folder) => Transport::Outbox(Outbox::new(folder)),
            Place::Smtp { server, recorded } => Transport::Smtp {
                client: SmtpClient::new(server, sender.address.domain())?,
                recorded: match recorded {
                    RecordedMails::Sent => RecordedTransport::Sent,
                    RecordedMails::ToOutbox(folder) => RecordedTransport::Outbox(Outbox::new(folder)),
                    RecordedMails::Refused => RecordedTransport::Refused,
                },
            },
        };
        Ok(Self { transport: Arc::new(transport), sender })
    }

    /// Sends one mail. A repetition has the same bytes, and so the same Message-ID; in an outbox, it replaces its file.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, mail: &OwedMail) -> Result<(), SendError> {
        let bytes = message::encode(mail, &self.sender).map_err(SendError::Refused)?;
        let (client, recorded) = match &*self.transport {
            Transport::Outbox(outbox) => return to_outbox(outbox, mail, bytes).await,
            Transport::Smtp { client, recorded } => (client, recorded),
        };
        match recorded {
            RecordedTransport::Outbox(outbox) if mail.is_recorded => to_outbox(outbox, mail, bytes).await,
            RecordedTransport::Refused if mail.is_recorded => Err(SendError::Refused(
                "it is about a replayed recording; --mail-replays (MAIL_REPLAYS) sends those, too".to_owned(),
            )),
            _ => {
                let from = address(&self.sender.address).map_err(SendError::Refused)?;
                let to = address(&mail.recipient).map_err(SendError::Refused)?;
                client.send(from, to, &bytes).await.map_err(|error| error.masked(mail))
            }
        }
    }

    /// Connects to the mail server, encrypts and logs in; sends nothing. For an outbox, whether its folder can be written is seen
    /// with the first mail.
    ///
    /// # Errors
    /// [`SendError::Unavailable`].
    pub async fn check(&self) -> Result<(), SendError> {
        match &*self.transport {
            Transport::Smtp { client, .. } => client.check().await,
            Transport::Outbox(_) => Ok(()),
        }
    }

    /// Where mails go, without credentials: `mail.example.com:587`, or the folder.
    pub fn place(&self) -> String {
        match &*self.transport {
            Transport::Smtp { client, .. } => client.address(),
            Transport::Outbox(outbox) => outbox.folder().display().to_string(),
        }
    }
}

impl fmt::Debug for Mailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailer").field("place", &self.place()).finish_non_exhaustive()
    }
}

impl SendError {
    /// Servers repeat the address in their replies; what is logged has no addresses.
    fn masked(self, mail: &OwedMail) -> Self {
        let masked = |text: String| {
            let recipient = &mail.recipient;
            text.replace(recipient.as_str(), &recipient.masked())
                .replace(&recipient.key(), &recipient.masked())
        };
        match self {
            Self::Unavailable(text) => Self::Unavailable(masked(text)),
            Self::Transient(text) => Self::Transient(masked(text)),
            Self::Refused(text) => Self::Refused(masked(text)),
        }
    }
}

async fn to_outbox(outbox: &Outbox, mail: &OwedMail, bytes: Vec<u8>) -> Result<(), SendError> {
    let (outbox, created_at, key) = (outbox.clone(), mail.created_at, message::key(&mail.id));
    let folder = outbox.folder().display().to_string();
    let write = tokio::task::spawn_blocking(move || outbox.write(created_at, &key, &bytes));
    let written = write.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    written.map_err(|error| {
        SendError::Unavailable(format!("cannot write to the outbox {folder}: {error}; check MAIL_URL"))
    })
}
