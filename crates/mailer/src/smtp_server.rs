//! A mail server, as its URL describes it.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::{Host, Url};

/// Port of mail servers that begin without TLS and change to it (RFC 6409).
pub(crate) const SUBMISSION_PORT: u16 = 587;
/// Port of mail servers that begin with TLS (RFC 8314).
pub(crate) const SUBMISSIONS_PORT: u16 = 465;

/// A mail server.
#[derive(Clone, Debug)]
pub(crate) struct SmtpServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: TlsMode,
    /// Certificates that are trusted besides those of Mozilla's list.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) login: Option<Login>,
}

/// When a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    /// From the first byte.
    FirstByte,
    /// By STARTTLS, or not used.
    StartTls,
    /// By STARTTLS where the server offers it.
    Opportunistic,
    /// Never.
    None,
}

/// User and password.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: SecretString,
}

/// What is wrong with the URL of a mail server. Contains no part of it but names of settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmtpUrlError {
    /// Another scheme.
    #[error("use smtp://HOST, smtps://HOST, or file:DIR")]
    Scheme,
    /// Not a URL.
    #[error("is not a URL: {0}; percent-encode `/`, `?`, `#` and `@` in a password, or set MAIL_PASSWORD")]
    Malformed(url::ParseError),
    /// No host.
    #[error("the host is missing, or is not a name or address")]
    NoHost,
    /// No folder.
    #[error("the folder is missing; use file:DIR")]
    NoFolder,
    /// A path behind the host.
    #[error("has a path behind the host; use smtp://HOST:PORT?tls=starttls")]
    Path,
    /// A setting that does not exist, or whose value does not.
    #[error("{0}")]
    Setting(String),
    /// A user or password that is not UTF-8.
    #[error("user or password is not UTF-8 behind its percent-encoding")]
    NotUtf8,
}

impl SmtpServer {
    /// `smtp://[user[:password]@]host[:port][?tls=…&ca=…]`, `smtps://…`. A user without a password gets an empty one.
    pub(crate) fn parse(text: &str) -> Result<Self, SmtpUrlError> {
        let (scheme, _) = text.split_once("://").ok_or(SmtpUrlError::Scheme)?;
        let is_wrapped = match scheme {
            "smtp" => false,
            "smtps" => true,
            _ => return Err(SmtpUrlError::Scheme),
        };
        let url = Url::parse(text).map_err(SmtpUrlError::Malformed)?;
        if !matches!(url.path(), "" | "/") {
            return Err(SmtpUrlError::Path);
        }
        let host = url.host_str().and_then(Self::parse_host).ok_or(SmtpUrlError::NoHost)?;
        let (mut tls, mut ca) = (if is_wrapped { TlsMode::FirstByte } else { TlsMode::StartTls }, None);
        for (name, value) in url.query_pairs() {
            match &*name {
                "tls" if is_wrapped => {
                    return Err(SmtpUrlError::Setting(
                        "tls is for smtp://; smtps:// always uses TLS".to_owned(),
                    ));
                }
                "tls" => tls = parse_tls(&value)?,
                "ca" if !value.is_empty() => ca = Some(PathBuf::from(&*value)),
                _ => {
                    let name: String = name.chars().take(40).flat_map(char::escape_debug).collect();
                    return Err(SmtpUrlError::Setting(format!(
                        "there is no setting `{name}`; use tls=..., ca=PATH"
                    )));
                }
            }
        }
        let login = match url.username() {
            "" => None,
            user => Some(Login {
                user: decoded(user)?,
                password: decoded(url.password().unwrap_or_default())?.into(),
            }),
        };
        let port = url.port().unwrap_or(if is_wrapped { SUBMISSIONS_PORT } else { SUBMISSION_PORT });
        Ok(Self { host, port, tls, ca, login })
    }

    /// A name in lower case, or an address.
    pub(crate) fn parse_host(text: &str) -> Option<String> {
        match Host::parse(text).ok()? {
            Host::Domain(name) => Some(name),
            Host::Ipv4(address) => Some(address.to_string()),
            // Without the brackets: for the resolver, and for the name in a certificate.
            Host::Ipv6(address) => Some(address.to_string()),
        }
    }

    /// Whether nothing leaves this host on the way to the server.
    pub(crate) fn is_this_host(&self) -> bool {
        let is_loopback = |address: std::net::IpAddr| address.is_loopback();
        self.host == "localhost" || self.host.parse().is_ok_and(is_loopback)
    }

    /// `mail.example.com:587`.
    pub(crate) fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

fn parse_tls(value: &str) -> Result<TlsMode, SmtpUrlError> {
    match value {
        "starttls" => Ok(TlsMode::StartTls),
        "opportunistic" => Ok(TlsMode::Opportunistic),
        "none" => Ok(TlsMode::None),
        other => {
            let shown: String = other.chars().take(40).flat_map(char::escape_debug).collect();
            Err(SmtpUrlError::Setting(format!("tls=`{shown}` is none of starttls, opportunistic, none")))
        }
    }
}

fn decoded(text: &str) -> Result<String, SmtpUrlError> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| SmtpUrlError::NotUtf8)
}
