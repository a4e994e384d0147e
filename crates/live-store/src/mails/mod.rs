//! Owed and sent mails. The port is [`owed_mails::MailStore`].

pub(crate) mod mongo;
pub(crate) mod sqlite;

use accounts::UnsubscribeToken;
use chrono::{DateTime, Utc};
use owed_mails::{EmailAddress, InlineImage, MailContent, MailId, MailState, OwedMail, StoredMail};
use url::Url;

use crate::{Result, users::UserStore};

/// The owner of a mail that no process tries.
const FREE: &str = "";
/// The table or collection.
const MAILS: &str = "mails";
/// How often another mail is looked for, when another process was faster.
const LEASE_TRIES: u32 = 5;
/// Ids in one query.
const QUERY_IDS: usize = 200;

/// See [`MailStore::declined`](owed_mails::MailStore::declined).
async fn declined(store: &dyn UserStore, mail: &OwedMail) -> Result<Option<&'static str>> {
    // Mails of the house have no such link, nor have those about an account.
    let token = mail.content.unsubscribe.as_ref().map(UnsubscribeToken::of_link);
    let Some(Ok(token)) = token else { return Ok(None) };
    Ok(match store.user(token.user).await? {
        None => Some("the account of its reader was deleted"),
        Some(user) if !token.is_wanted_by(&user) => Some("its reader has ended such mails"),
        Some(_) => None,
    })
}

/// A state as columns.
#[derive(Debug, PartialEq, Eq)]
struct StateColumns {
    state: String,
    attempts: u32,
    next_try_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
    reason: Option<String>,
}

/// The other columns of a mail that need parsing.
struct MailColumns {
    id: String,
    recipient: String,
    subject: String,
    text: String,
    html: String,
    unsubscribe: Option<String>,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    is_recorded: bool,
    state: StateColumns,
}

/// What is wrong with a row.
type ColumnError = Box<dyn std::error::Error + Send + Sync>;

impl StateColumns {
    fn of(state: &MailState) -> Self {
        let name = state.name().to_owned();
        let finished = |at: DateTime<Utc>, reason: Option<&String>| Self {
            state: name.clone(),
            attempts: 0,
            next_try_at: None,
            finished_at: Some(at),
            reason: reason.cloned(),
        };
        match state {
            MailState::Owed { attempts, next_try_at, last_error } => Self {
                state: name,
                attempts: *attempts,
                next_try_at: Some(*next_try_at),
                finished_at: None,
                reason: last_error.clone(),
            },
            MailState::Sent { at } => finished(*at, None),
            MailState::Refused { at, reason } | MailState::Expired { at, reason } => {
                finished(*at, Some(reason))
            }
        }
    }

    fn into_state(self) -> Result<MailState, ColumnError> {
        let Self { state, attempts, next_try_at, finished_at, reason } = self;
        let at = finished_at.ok_or("finished_at is missing");
        match &*state {
            "owed" => {
                let next_try_at = next_try_at.ok_or("next_try_at is missing")?;
                Ok(MailState::Owed { attempts, next_try_at, last_error: reason })
            }
            "sent" => Ok(MailState::Sent { at: at? }),
            "refused" => Ok(MailState::Refused { at: at?, reason: reason.unwrap_or_default() }),
            "expired" => Ok(MailState::Expired { at: at?, reason: reason.unwrap_or_default() }),
            other => {
                Err(format!("state: `{}` is none of owed, sent, refused, expired", other.escape_debug())
                    .into())
            }
        }
    }
}

impl MailColumns {
    fn into_mail(self, images: Vec<InlineImage>) -> Result<StoredMail, ColumnError> {
        let unsubscribe = self.unsubscribe.map(|url| Url::parse(&url)).transpose();
        let content = MailContent {
            subject: self.subject,
            text: self.text,
            html: self.html,
            images,
            unsubscribe: unsubscribe.map_err(|error| format!("unsubscribe: {error}"))?,
        };
        let mail = OwedMail {
            id: MailId::parse(self.id).map_err(|error| format!("id: {error}"))?,
            recipient: EmailAddress::parse(&self.recipient).map_err(|error| format!("recipient: {error}"))?,
            content,
            created_at: self.created_at,
            expires_at: self.expires_at,
            is_recorded: self.is_recorded,
        };
        Ok(StoredMail { mail, state: self.state.into_state()? })
    }
}

/// In the order of `ids`.
fn in_order(mut found: Vec<StoredMail>, ids: &[MailId]) -> Vec<StoredMail> {
    let place = |mail: &StoredMail| ids.iter().position(|id| *id == mail.mail.id);
    found.sort_by_cached_key(place);
    found
}
