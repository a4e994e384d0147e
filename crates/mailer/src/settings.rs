//! Where mails go: flags, environment variables and manual at once.

use secrecy::SecretString;

/// The mail server.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Mail")]
pub struct MailSettings {
    /// Mail server: smtp://[user[:password]@]host[:port][?tls=starttls|none|opportunistic], smtps://... (TLS from the first byte), or
    /// file:DIR for a folder of .eml files.
    #[arg(long, env = "MAIL_URL", value_name = "URL", hide_env_values = true)]
    pub mail_url: Option<SecretString>,
}

/// A setting of the mail server that cannot be used. No message contains a password.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MailSettingsError(pub(crate) String);
