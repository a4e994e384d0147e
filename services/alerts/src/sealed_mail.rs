//! Which alerts are in a mail: decided once, before the mail is owed. After a crash the mail is made of the same alerts, and an alert
//! is never in two.

use std::fmt::Write;

use alert_rules::AlertId;
use anyhow::Context;
use chrono::{DateTime, Utc};
use live_store::LiveStore;
use mailer::{EmailAddress, MailId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Facts of this kind.
pub(crate) const PREFIX: &str = "mail:";

/// Before the identity of every mail about alerts.
const MAIL_PREFIX: &str = "alerts:";

/// The alerts of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SealedMail {
    /// The key of the recipient's address.
    pub(crate) recipient: String,
    /// In the order in which they were stored.
    pub(crate) alerts: Vec<AlertId>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) is_last_of_day: bool,
    /// About prices of a recording that was played.
    pub(crate) is_recorded: bool,
}

impl SealedMail {
    /// Decides what is in the mail, unless that was decided before: then returns that.
    pub(crate) async fn seal(self, store: &dyn LiveStore, id: &MailId) -> anyhow::Result<Self> {
        let body = serde_json::to_string(&self).context("cannot encode the alerts of a mail")?;
        let kept = store.keep_alert_fact(&fact(id), &body, self.created_at).await?;
        read(id, &kept)
    }

    /// What was decided about a mail, if anything was.
    pub(crate) async fn find(store: &dyn LiveStore, id: &MailId) -> anyhow::Result<Option<Self>> {
        store.alert_fact(&fact(id)).await?.map(|body| read(id, &body)).transpose()
    }
}

/// The identity of the mail to a recipient whose first alert is this one.
pub(crate) fn mail_id(first: &AlertId, recipient: &EmailAddress) -> anyhow::Result<MailId> {
    let hash = Sha256::digest(format!("{first}\n{}", recipient.key()));
    let id = hash.iter().take(16).fold(MAIL_PREFIX.to_owned(), |mut id, byte| {
        // Writing to a string does not fail.
        let _ = write!(id, "{byte:02x}");
        id
    });
    MailId::parse(id).context("the identity of a mail about alerts")
}

/// Whether a mail is about alerts.
pub(crate) fn is_about_alerts(id: &MailId) -> bool {
    id.as_str().starts_with(MAIL_PREFIX)
}

fn fact(id: &MailId) -> String {
    format!("{PREFIX}{id}")
}

fn read(id: &MailId, body: &str) -> anyhow::Result<SealedMail> {
    serde_json::from_str(body).with_context(|| format!("the alert fact {PREFIX}{id} is damaged"))
}
