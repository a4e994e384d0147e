//! Sends mails. A service stores an [`OwedMail`] in its [`MailStore`]; [`run_sender`] leases, sends and records it. A [`Letter`]
//! makes the content: HTML and text from the same blocks.

mod chart;
mod eml;
mod letter;
mod message;
mod metrics;
mod outbox;
mod retry;
mod sender;
mod sender_address;
mod settings;
mod smtp;
mod smtp_server;
mod transport;

pub use chart::{ChartError, ChartPoint, day_chart_png};
pub use eml::ReadMail;
pub use letter::{Block, Column, Letter, MAX_HTML_BYTES, Span, Table};
pub use outbox::{Outbox, OutboxEntry, OutboxName};
pub use owed_mails::{
    AddressError, EmailAddress, InlineImage, MAX_MAILS_TO, MAX_REASON_CHARS, MailContent, MailId,
    MailIdError, MailState, MailStore, OwedMail, StoreError, StoredMail,
};
pub use sender::run_sender;
pub use settings::{MailSettings, MailSettingsError};
pub use smtp_server::SmtpUrlError;
pub use transport::{Mailer, SendError};
