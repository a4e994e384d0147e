//! Passwords that stand beside their URL: in a variable, or in a file as Docker and Kubernetes mount secrets.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, bail, ensure};
use secrecy::{ExposeSecret, SecretString};

/// A password file is read up to here; more is no password.
const MAX_FILE_BYTES: u64 = 4_096;

/// A password given beside a URL, and the names by which messages call things.
pub(crate) struct Given<'a> {
    pub(crate) password: Option<&'a SecretString>,
    pub(crate) file: Option<&'a str>,
    /// `LOG` or `STORE`: what the variables begin with.
    pub(crate) prefix: &'static str,
}

impl Given<'_> {
    /// The URL with the password in it, percent-encoded. A URL of a file has no user, so a password beside it is left
    /// aside: the same environment may serve both.
    ///
    /// # Errors
    /// Two passwords, a password without a user, a file that cannot be read or is empty; each names the variable.
    pub(crate) fn fill(&self, url: &SecretString) -> anyhow::Result<SecretString> {
        let prefix = self.prefix;
        let Some((scheme, rest)) = url.expose_secret().split_once("://") else { return Ok(url.clone()) };
        if scheme == "sqlite" {
            return Ok(url.clone());
        }
        let Some(password) = self.password()? else { return Ok(url.clone()) };
        let (user, hosts, behind) = parts(rest);
        let Some(user) = user else {
            bail!(
                "{prefix}_URL names no user for the password of {}; write {scheme}://USER@host",
                self.variable()
            );
        };
        let user = user.strip_suffix(':').unwrap_or(user);
        ensure!(
            is_without_password(user),
            "{prefix}_URL has a password and {} gives another; keep one of them",
            self.variable()
        );
        let password = encoded(password.expose_secret());
        Ok(format!("{scheme}://{user}:{password}@{hosts}{behind}").into())
    }

    fn variable(&self) -> String {
        format!("{}_PASSWORD{}", self.prefix, if self.file().is_some() { "_FILE" } else { "" })
    }

    /// A variable that is there and empty is as good as none: that is how a compose file passes one on.
    fn file(&self) -> Option<&str> {
        self.file.filter(|file| !file.is_empty())
    }

    fn password(&self) -> anyhow::Result<Option<SecretString>> {
        let prefix = self.prefix;
        let given = self.password.filter(|password| !password.expose_secret().is_empty());
        match (given, self.file()) {
            (Some(_), Some(_)) => {
                bail!("{prefix}_PASSWORD and {prefix}_PASSWORD_FILE are both set; keep one of them")
            }
            (given, None) => Ok(given.cloned()),
            (None, Some(file)) => {
                read(Path::new(file)).with_context(|| format!("{prefix}_PASSWORD_FILE={file}")).map(Some)
            }
        }
    }
}

/// Whether a URL names a user of a server and no password.
pub(crate) fn is_missing_in(url: &SecretString) -> bool {
    let Some((scheme, rest)) = url.expose_secret().split_once("://") else { return false };
    scheme != "sqlite" && parts(rest).0.is_some_and(is_without_password)
}

/// What stands behind `//`: the user, with a password if there is one; the hosts; all behind them.
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
fn read(file: &Path) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    let opened = File::open(file).context("cannot open the file")?;
    opened.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).context("cannot read the file as text")?;
    ensure!(text.len() as u64 <= MAX_FILE_BYTES, "the file has more than {MAX_FILE_BYTES} bytes");
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    ensure!(!password.is_empty(), "the file is empty");
    Ok(password.into())
}

/// What may stand between `:` and `@`, whoever reads the URL.
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
