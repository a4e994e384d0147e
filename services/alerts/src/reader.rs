//! Who receives a mail about alerts: looked up when the mail is made, because an alert may be older than what a person chose since.

use accounts::{MailKind, UnsubscribeToken, User, UserId};
use alert_rules::Owner;
use live_store::{LiveStore, LiveStoreError};
use mailer::EmailAddress;
use url::Url;

/// Why a person does not receive a mail that was owed.
const NO_ACCOUNT: &str = "the account of its owner was deleted";
const UNCONFIRMED: &str = "the address of the account is not confirmed";
const OTHER_ADDRESS: &str = "it is not the address of the account";
const UNSUBSCRIBED: &str = "its owner does not receive mails about alerts any more";

/// A recipient.
#[derive(Debug)]
pub(crate) enum Reader {
    /// Among the alert recipients of the installation.
    House,
    /// A person with an account, and where one POST ends these mails.
    Person {
        /// With the token of the person.
        unsubscribe: Url,
    },
    /// A person who does not receive these mails, and why.
    Declined(&'static str),
}

impl Reader {
    /// The recipient of the alerts of an owner.
    pub(crate) async fn find(
        store: &dyn LiveStore,
        owner: &Owner,
        address: &EmailAddress,
        public_url: &Url,
    ) -> Result<Self, LiveStoreError> {
        let Owner::User(id) = owner else { return Ok(Self::House) };
        // An identity that accounts do not have is that of no account.
        let Ok(id) = id.as_str().parse::<UserId>() else { return Ok(Self::Declined(NO_ACCOUNT)) };
        let Some(user) = store.user(id).await? else { return Ok(Self::Declined(NO_ACCOUNT)) };
        Ok(match refusal(&user, address) {
            Some(reason) => Self::Declined(reason),
            None => {
                Self::Person { unsubscribe: UnsubscribeToken::new(&user, MailKind::Alerts).link(public_url) }
            }
        })
    }
}

fn refusal(user: &User, address: &EmailAddress) -> Option<&'static str> {
    if !user.is_confirmed() {
        Some(UNCONFIRMED)
    } else if user.email != *address {
        Some(OTHER_ADDRESS)
    } else if !user.mails_alerts {
        Some(UNSUBSCRIBED)
    } else {
        None
    }
}
