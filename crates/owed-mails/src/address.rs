//! E-mail addresses.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::Host;

/// Longest address, in characters (RFC 5321, 4.5.3.1.3: a path of 256 with its brackets).
const MAX_LEN: usize = 254;
/// Longest part before the `@` (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL_LEN: usize = 64;
/// Longest label of a domain (RFC 1035, 2.3.4).
const MAX_LABEL_LEN: usize = 63;

/// An e-mail address: `local@domain`. The domain is in lower case, and in its ASCII form where it is international.
///
/// Two spellings of one address are equal: letter case does not count. The standard lets a mail server distinguish the case of the
/// local part; none in use does, and a person who registers twice should be one account.
///
/// Refused are quoted local parts (`"a b"@example.com`), addresses of hosts by number (`me@[192.0.2.1]`), and local parts
/// outside of ASCII, which most mail servers do not accept.
#[derive(Clone)]
pub struct EmailAddress(String);

/// Why a text is not an e-mail address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing but white space.
    #[error("the e-mail address is empty")]
    Empty,
    /// More than 254 characters.
    #[error("the e-mail address is longer than {MAX_LEN} characters")]
    TooLong,
    /// No `@`.
    #[error("`{0}` is no e-mail address: the `@` is missing")]
    NoAt(String),
    /// The part before the `@`.
    #[error("`{address}` is no e-mail address: the part before the `@` {reason}")]
    Local {
        /// What was given.
        address: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The part behind the `@`.
    #[error("`{address}` is no e-mail address: the domain {reason}")]
    Domain {
        /// What was given.
        address: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl EmailAddress {
    /// Parses and normalises. White space around the address is ignored.
    ///
    /// # Errors
    /// [`AddressError`] with the offending text.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(AddressError::TooLong);
        }
        let shown = || text.escape_debug().to_string();
        let (local, domain) = text.rsplit_once('@').ok_or_else(|| AddressError::NoAt(shown()))?;
        check_local(local).map_err(|reason| AddressError::Local { address: shown(), reason })?;
        let domain =
            parse_domain(domain).map_err(|reason| AddressError::Domain { address: shown(), reason })?;
        let address = format!("{local}@{domain}");
        if address.len() > MAX_LEN { Err(AddressError::TooLong) } else { Ok(Self(address)) }
    }

    /// The address, with the local part as it was given: where mails are sent to.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What identifies the address: all in lower case. For keys of stores; equal addresses have equal keys.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The part behind the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The address for logs and pages that more than its owner reads: `m…@example.com`.
    pub fn masked(&self) -> String {
        format!("{}…@{}", &self.0[..1], self.domain())
    }
}

/// Dot-atom of RFC 5322, 3.2.3.
fn check_local(local: &str) -> Result<(), &'static str> {
    if local.is_empty() {
        return Err("is empty");
    }
    if local.len() > MAX_LOCAL_LEN {
        return Err("is longer than 64 characters");
    }
    if local.split('.').any(str::is_empty) {
        return Err("begins or ends with a dot, or has two dots in a row");
    }
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+-/=?^_`{|}~".contains(&byte);
    if local.bytes().all(is_allowed) { Ok(()) } else { Err("has a character that is not allowed there") }
}

fn parse_domain(domain: &str) -> Result<String, &'static str> {
    if domain.is_empty() {
        return Err("is empty");
    }
    // `Host` also decodes percent signs, which have no meaning in addresses.
    if domain.contains(['%', '[', ']']) {
        return Err("has a character that is not allowed there");
    }
    let domain = match Host::parse(domain) {
        Ok(Host::Domain(domain)) => domain,
        Ok(_) => return Err("is the number of a host; write its name"),
        Err(_) => return Err("has a character that is not allowed there"),
    };
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    for label in domain.split('.') {
        if label.is_empty() {
            return Err("begins or ends with a dot, or has two dots in a row");
        }
        if label.len() > MAX_LABEL_LEN || label.starts_with('-') || label.ends_with('-') {
            return Err("has a part that is too long, or begins or ends with a hyphen");
        }
        if !label.bytes().all(is_letter) {
            return Err("has a character that is not allowed there");
        }
    }
    if !domain.contains('.') && domain != "localhost" {
        return Err("has no dot, as in example.com");
    }
    Ok(domain)
}

impl FromStr for EmailAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Masked: what is printed for a developer may be in a log.
impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl PartialEq for EmailAddress {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for EmailAddress {}

impl Ord for EmailAddress {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for EmailAddress {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for EmailAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Serialize for EmailAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EmailAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
