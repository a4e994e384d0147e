//! Passwords that are given beside their URL: in a variable, or in a file as Docker and Kubernetes mount secrets.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use secrecy::{ExposeSecret, SecretString};

/// Longest password file, in bytes.
const MAX_FILE_BYTES: u64 = 4_096;

/// A password given beside a URL, and the prefix of the variables that messages name.
#[derive(Clone, Copy, Debug)]
pub struct Password<'a> {
    /// The password itself. An empty one counts as none: a compose file passes on unset variables as empty ones.
    pub password: Option<&'a SecretString>,
    /// The file that contains it; its final line end does not belong to the password. An empty path counts as none.
    pub file: Option<&'a str>,
    /// `LOG` or `STORE`: what the names of the variables begin with.
    pub prefix: &'static str,
}

/// Why a password cannot be inserted into its URL. No message contains the password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The URL names no user that the password could belong to.
    #[error("{prefix}_URL names no user for the password of {variable}; write {scheme}://USER@host")]
    NoUser {
        /// What the names of the variables begin with.
        prefix: &'static str,
        /// The variable that gives the password.
        variable: String,
        /// Scheme of the URL.
        scheme: String,
    },
    /// URL and variable give a password each.
    #[error("{prefix}_URL has a password and {variable} gives another; keep one of them")]
    InUrlToo {
        /// What the names of the variables begin with.
        prefix: &'static str,
        /// The variable that gives the password.
        variable: String,
    },
    /// Both variables are set.
    #[error("{prefix}_PASSWORD and {prefix}_PASSWORD_FILE are both set; keep one of them")]
    Both {
        /// What the names of the variables begin with.
        prefix: &'static str,
    },
    /// The file gives no password.
    #[error("{prefix}_PASSWORD_FILE={file}")]
    File {
        /// What the names of the variables begin with.
        prefix: &'static str,
        /// The path as given.
        file: String,
        /// What is wrong with it.
        source: PasswordFileError,
    },
}

/// What is wrong with a password file.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// The operating system does not open it.
    #[error("cannot open the file")]
    Open(#[source] io::Error),
    /// It is a folder, or not UTF-8.
    #[error("cannot read the file as text")]
    Read(#[source] io::Error),
    /// Larger than any password.
    #[error("the file has more than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// Nothing but a line end.
    #[error("the file is empty")]
    Empty,
}

impl Password<'_> {
    /// The URL with the password inserted, percent-encoded. The URL of a file (`sqlite:`) has no user; it is returned
    /// unchanged, because the same environment may serve services with a server and services with a file.
    ///
    /// # Errors
    /// Two passwords, a password without a user, a file that cannot be read or is empty; each names the variable.
    pub fn fill(&self, url: &SecretString) -> Result<SecretString, PasswordError> {
        let prefix = self.prefix;
        let Some((scheme, rest)) = url.expose_secret().split_once("://") else { return Ok(url.clone()) };
        if scheme == "sqlite" {
            return Ok(url.clone());
        }
        let Some(password) = self.read()? else { return Ok(url.clone()) };
        let (user, hosts, behind) = parts(rest);
        let variable = self.variable();
        let Some(user) = user else {
            return Err(PasswordError::NoUser { prefix, variable, scheme: scheme.to_owned() });
        };
        let user = user.strip_suffix(':').unwrap_or(user);
        if !is_without_password(user) {
            return Err(PasswordError::InUrlToo { prefix, variable });
        }
        let password = encoded(password.expose_secret());
        Ok(format!("{scheme}://{user}:{password}@{hosts}{behind}").into())
    }

    fn variable(&self) -> String {
        format!("{}_PASSWORD{}", self.prefix, if self.file().is_some() { "_FILE" } else { "" })
    }

    fn file(&self) -> Option<&str> {
        self.file.filter(|file| !file.is_empty())
    }

    fn read(&self) -> Result<Option<SecretString>, PasswordError> {
        let prefix = self.prefix;
        let given = self.password.filter(|password| !password.expose_secret().is_empty());
        match (given, self.file()) {
            (Some(_), Some(_)) => Err(PasswordError::Both { prefix }),
            (given, None) => Ok(given.cloned()),
            (None, Some(file)) => match read(Path::new(file)) {
                Ok(password) => Ok(Some(password)),
                Err(source) => Err(PasswordError::File { prefix, file: file.to_owned(), source }),
            },
        }
    }
}

/// Whether a URL names a user of a server and no password.
pub fn lacks_password(url: &SecretString) -> bool {
    let Some((scheme, rest)) = url.expose_secret().split_once("://") else { return false };
    scheme != "sqlite" && parts(rest).0.is_some_and(is_without_password)
}

/// Whether a URL names a user of a server.
pub fn has_user(url: &SecretString) -> bool {
    url.expose_secret().split_once("://").is_some_and(|(_, rest)| parts(rest).0.is_some())
}

/// The parts behind `//`: the user, with the password if there is one; the hosts; everything behind them.
fn parts(rest: &str) -> (Option<&str>, &str, &str) {
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user).filter(|user| !user.is_empty()), hosts, behind),
        None => (None, authority, behind),
    }
}

/// `me`, or `me:`.
fn is_without_password(user: &str) -> bool {
    !user.strip_suffix(':').unwrap_or(user).contains(':')
}

/// The content without its final line end.
fn read(file: &Path) -> Result<SecretString, PasswordFileError> {
    let mut text = String::new();
    let opened = File::open(file).map_err(PasswordFileError::Open)?;
    opened.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(PasswordFileError::Read)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(PasswordFileError::TooLarge);
    }
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() { Err(PasswordFileError::Empty) } else { Ok(password.into()) }
}

/// Percent-encodes everything but the unreserved characters of RFC 3986, so that every parser reads the same password.
fn encoded(password: &str) -> String {
    let mut text = String::with_capacity(password.len());
    for byte in password.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    text
}

const HEX: [u8; 16] = *b"0123456789ABCDEF";
