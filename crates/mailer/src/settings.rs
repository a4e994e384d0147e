//! Where mails go and from whom they are: flags, environment variables and manual at once.

use std::path::{Path, PathBuf};

use connection_url::{Password, PasswordError};
use owed_mails::EmailAddress;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    sender_address::Sender,
    smtp_server::{Login, SUBMISSION_PORT, SUBMISSIONS_PORT, SmtpServer, SmtpUrlError, TlsMode},
};

/// Where mails go and from whom they are.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Mail")]
pub struct MailSettings {
    /// Mail server: smtp://[user[:password]@]host[:port][?tls=starttls|opportunistic|none&ca=PATH], where tls=starttls is the
    /// default and refuses a server without TLS; smtps://... for TLS from the first byte; file:DIR for a folder of .eml
    /// files.
    #[arg(long, env = "MAIL_URL", value_name = "URL", hide_env_values = true)]
    pub mail_url: Option<SecretString>,
    /// Password for the user that --mail-url names without one. Others on this machine see flags in the list of processes:
    /// prefer the variable or the file.
    #[arg(long, env = "MAIL_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub mail_password: Option<SecretString>,
    /// File with that password, such as /run/secrets/mail_password; a final line end does not count.
    #[arg(long, env = "MAIL_PASSWORD_FILE", value_name = "FILE")]
    pub mail_password_file: Option<String>,
    /// From whom mails are: alerts@example.com or "Tapedeck <alerts@example.com>" [default: the user of --mail-url].
    #[arg(long, env = "MAIL_FROM", value_name = "ADDRESS")]
    pub mail_from: Option<String>,
    /// Send mails about a replayed recording to the mail server, too; without it they go to the outbox only.
    #[arg(long, env = "MAIL_REPLAYS", value_name = "BOOL", default_missing_value = "true", num_args = 0..=1,
          require_equals = true, default_value_t = false, action = clap::ArgAction::Set)]
    pub mail_replays: bool,
    /// Older setting for --mail-url: host of the mail server.
    #[arg(long, env = "SMTP_SERVER", value_name = "HOST")]
    pub smtp_server: Option<String>,
    /// Its port: with 465 TLS from the first byte, with others STARTTLS [default: 587].
    #[arg(long, env = "SMTP_PORT", value_name = "PORT")]
    pub smtp_port: Option<String>,
    /// Older setting for --mail-from, and the user of --email-password.
    #[arg(long, env = "EMAIL_SENDER", value_name = "ADDRESS")]
    pub email_sender: Option<String>,
    /// Older setting: password of --email-sender.
    #[arg(long, env = "EMAIL_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    pub email_password: Option<SecretString>,
    /// Where mails go without --mail-url, and mails about a replayed recording in any case.
    #[arg(skip)]
    pub outbox: Option<PathBuf>,
}

/// A setting of the mail server that cannot be used. No message contains a password.
#[derive(Debug, thiserror::Error)]
pub enum MailSettingsError {
    /// No mail server and no outbox.
    #[error("no mail server is set; set MAIL_URL (--mail-url) to smtp://USER@HOST or file:DIR")]
    Missing,
    /// Two settings that differ.
    #[error("{one} and {other} are both set and differ; keep one of them")]
    Contradiction {
        /// The variable of the one.
        one: &'static str,
        /// The variable of the other.
        other: &'static str,
    },
    /// The URL.
    #[error("MAIL_URL (--mail-url) `{url}`: {source}")]
    Url {
        /// The URL without credentials.
        url: String,
        /// What is wrong with it.
        source: SmtpUrlError,
    },
    /// The password of the URL.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The user has no password.
    #[error("MAIL_URL (--mail-url) names a user and no password; set MAIL_PASSWORD or MAIL_PASSWORD_FILE")]
    NoPassword,
    /// A password would be readable on the way to the server.
    #[error(
        "MAIL_URL (--mail-url): the password would be sent to {host} without TLS; use tls=starttls, smtps://, or no user"
    )]
    PasswordWithoutTls {
        /// The server.
        host: String,
    },
    /// A setting with a text of its own.
    #[error("{setting} `{value}`: {reason}")]
    Value {
        /// Its variable and flag.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Mails need a sender.
    #[error("no sender is set; set MAIL_FROM (--mail-from) to an address such as alerts@example.com")]
    NoSender,
}

/// Where mails go.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// To a mail server; those about a replayed recording to the folder, or nowhere.
    Smtp { server: SmtpServer, recorded: RecordedMails },
    /// To a folder of .eml files.
    Outbox(PathBuf),
}

/// What is done with mails about a replayed recording where there is a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordedMails {
    /// Sent as all others.
    Sent,
    /// Written to this folder.
    ToOutbox(PathBuf),
    /// Refused: there is no folder.
    Refused,
}

/// The settings, parsed.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) place: Place,
    pub(crate) sender: Sender,
}

impl MailSettings {
    /// The same with a folder of .eml files, where mails go without a mail server, and mails about a replayed recording in any
    /// case.
    pub fn with_outbox(mut self, folder: &Path) -> Self {
        self.outbox = Some(folder.to_owned());
        self
    }

    /// The folder of .eml files that mails go to; `None` if a mail server is set.
    ///
    /// # Errors
    /// A setting that cannot be used.
    pub fn outbox(&self) -> Result<Option<PathBuf>, MailSettingsError> {
        match self.parse()?.place {
            Place::Outbox(folder) => Ok(Some(folder)),
            Place::Smtp { .. } => Ok(None),
        }
    }

    pub(crate) fn parse(&self) -> Result<Parsed, MailSettingsError> {
        let place = self.place()?;
        let user = match &place {
            Place::Smtp { server, .. } => server.login.as_ref().map(|login| login.user.as_str()),
            Place::Outbox(_) => None,
        };
        let sender = self.sender(user, matches!(place, Place::Outbox(_)))?;
        Ok(Parsed { place, sender })
    }

    fn place(&self) -> Result<Place, MailSettingsError> {
        let server = match (given_secret(self.mail_url.as_ref()), given(self.smtp_server.as_ref())) {
            (Some(url), older) => {
                if let Some(folder) = url.expose_secret().strip_prefix("file:") {
                    if older.is_some() {
                        return Err(contradiction("MAIL_URL", "SMTP_SERVER"));
                    }
                    return Ok(Place::Outbox(self.folder(folder)?));
                }
                let server = self.server_of_url(url)?;
                self.compare(&server, older)?;
                server
            }
            (None, Some(host)) => self.server_of_older_settings(host)?,
            (None, None) => return self.outbox.clone().map(Place::Outbox).ok_or(MailSettingsError::Missing),
        };
        if server.login.is_some() && server.tls == TlsMode::None && !server.is_this_host() {
            return Err(MailSettingsError::PasswordWithoutTls { host: server.host });
        }
        let recorded = match &self.outbox {
            _ if self.mail_replays => RecordedMails::Sent,
            Some(folder) => RecordedMails::ToOutbox(folder.clone()),
            None => RecordedMails::Refused,
        };
        Ok(Place::Smtp { server, recorded })
    }

    fn folder(&self, path: &str) -> Result<PathBuf, MailSettingsError> {
        // `file:///var/mails` as well as `file:mails` and `file:/var/mails`.
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(self.bad_url(SmtpUrlError::NoFolder));
        }
        Ok(PathBuf::from(path))
    }

    fn bad_url(&self, source: SmtpUrlError) -> MailSettingsError {
        let url = self.mail_url.as_ref().map_or("", |url| url.expose_secret());
        MailSettingsError::Url { url: connection_url::without_credentials(url), source }
    }

    fn server_of_url(&self, url: &SecretString) -> Result<SmtpServer, MailSettingsError> {
        let password = Password {
            password: self.mail_password.as_ref(),
            file: self.mail_password_file.as_deref(),
            prefix: "MAIL",
        };
        let url = password.fill(url)?;
        let mut server = SmtpServer::parse(url.expose_secret()).map_err(|source| self.bad_url(source))?;
        let older = given_secret(self.email_password.as_ref());
        match (&mut server.login, older) {
            (Some(login), None) if login.password.expose_secret().is_empty() => {
                return Err(MailSettingsError::NoPassword);
            }
            (Some(login), Some(older)) if login.password.expose_secret().is_empty() => {
                login.password = older.clone();
            }
            (Some(login), Some(older)) if login.password.expose_secret() != older.expose_secret() => {
                return Err(contradiction("the password of MAIL_URL", "EMAIL_PASSWORD"));
            }
            (login @ None, Some(_)) => *login = self.older_login()?,
            _ => {}
        }
        Ok(server)
    }

    fn server_of_older_settings(&self, host: &str) -> Result<SmtpServer, MailSettingsError> {
        let port = self.older_port()?.unwrap_or(SUBMISSION_PORT);
        let host = SmtpServer::parse_host(host).ok_or_else(|| MailSettingsError::Value {
            setting: "SMTP_SERVER (--smtp-server)",
            value: host.escape_debug().to_string(),
            reason: "is not the name of a host".to_owned(),
        })?;
        let login = self.older_login()?;
        let tls = match (port, &login) {
            (SUBMISSIONS_PORT, _) => TlsMode::FirstByte,
            (_, Some(_)) => TlsMode::StartTls,
            // A relay of one's own network; what has no password has nothing that must not be read.
            (_, None) => TlsMode::Opportunistic,
        };
        Ok(SmtpServer { host, port, tls, ca: None, login })
    }

    fn older_port(&self) -> Result<Option<u16>, MailSettingsError> {
        let Some(port) = given(self.smtp_port.as_ref()) else { return Ok(None) };
        match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => Err(MailSettingsError::Value {
                setting: "SMTP_PORT (--smtp-port)",
                value: port.escape_debug().to_string(),
                reason: "is not a port; use 465 or 587".to_owned(),
            }),
        }
    }

    fn older_login(&self) -> Result<Option<Login>, MailSettingsError> {
        let Some(password) = given_secret(self.email_password.as_ref()) else { return Ok(None) };
        let sender = given(self.email_sender.as_ref()).ok_or(MailSettingsError::NoSender)?;
        let sender = Sender::parse(sender)
            .map_err(|reason| bad_sender("EMAIL_SENDER (--email-sender)", sender, reason))?;
        Ok(Some(Login { user: sender.address.as_str().to_owned(), password: password.clone() }))
    }

    /// Refuses older settings that name another server than the URL.
    fn compare(&self, server: &SmtpServer, host: Option<&str>) -> Result<(), MailSettingsError> {
        if host.is_some_and(|host| !host.eq_ignore_ascii_case(&server.host)) {
            return Err(contradiction("MAIL_URL", "SMTP_SERVER"));
        }
        if host.is_some() && self.older_port()?.is_some_and(|port| port != server.port) {
            return Err(contradiction("MAIL_URL", "SMTP_PORT"));
        }
        Ok(())
    }

    fn sender(&self, user: Option<&str>, is_outbox: bool) -> Result<Sender, MailSettingsError> {
        let of =
            |setting, text: &str| Sender::parse(text).map_err(|reason| bad_sender(setting, text, reason));
        let sender =
            given(self.mail_from.as_ref()).map(|text| of("MAIL_FROM (--mail-from)", text)).transpose()?;
        let older = given(self.email_sender.as_ref());
        let older = older.map(|text| of("EMAIL_SENDER (--email-sender)", text)).transpose()?;
        match (sender, older) {
            (Some(sender), Some(older)) if sender.address != older.address => {
                Err(contradiction("MAIL_FROM", "EMAIL_SENDER"))
            }
            (Some(sender), _) | (None, Some(sender)) => Ok(sender),
            (None, None) => {
                let user = user.and_then(|user| EmailAddress::parse(user).ok());
                let local = is_outbox.then(Sender::of_this_host);
                user.map(Sender::named).or(local).ok_or(MailSettingsError::NoSender)
            }
        }
    }
}

/// An empty text counts as none: a compose file passes on unset variables as empty ones.
fn given(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

fn given_secret(text: Option<&SecretString>) -> Option<&SecretString> {
    text.filter(|text| !text.expose_secret().is_empty())
}

fn contradiction(one: &'static str, other: &'static str) -> MailSettingsError {
    MailSettingsError::Contradiction { one, other }
}

fn bad_sender(setting: &'static str, text: &str, reason: String) -> MailSettingsError {
    MailSettingsError::Value { setting, value: text.escape_debug().to_string(), reason }
}
