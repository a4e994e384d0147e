//! From whom mails are.

use owed_mails::EmailAddress;

/// The name that mails are from, unless the setting has another.
const NAME: &str = "Tapedeck";
/// The sender of mails that do not leave this host.
const OF_THIS_HOST: &str = "tapedeck@localhost";

/// An address with the name that mail clients show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) name: String,
    pub(crate) address: EmailAddress,
}

impl Sender {
    /// `me@example.com`, or `My name <me@example.com>`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (name.trim().trim_matches('"').trim(), address),
            None => ("", text),
        };
        if name.chars().any(char::is_control) {
            return Err("the name has a control character".to_owned());
        }
        let address = EmailAddress::parse(address).map_err(|error| error.to_string())?;
        let name = if name.is_empty() { NAME } else { name };
        Ok(Self { name: name.to_owned(), address })
    }

    pub(crate) fn named(address: EmailAddress) -> Self {
        Self { name: NAME.to_owned(), address }
    }

    pub(crate) fn of_this_host() -> Self {
        Self::named(EmailAddress::parse(OF_THIS_HOST).expect("a constant that parses"))
    }
}
