//! The command: the digest of today for a person who is waiting for it.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use mailer::{EmailAddress, MailState};
use tokio::time::{Instant, sleep};

use super::{
    DigestReader, Digester, DueDigest, FIRST_HOURS,
    people::{self, NoDigest},
};
use crate::Outcome;

/// Between two looks whether the running service has sent a mail.
const POLL_MS: u64 = 200;

/// Prints the digest of today, or owes it and waits until the running service has sent it, at most so long. `user`: only that of this
/// address; otherwise those of the house, of which the first is printed.
///
/// # Errors
/// An address that gets no digest, with the reason; a store that is unavailable.
pub(crate) async fn by_hand(
    digester: &Digester,
    user: Option<&EmailAddress>,
    is_preview: bool,
    wait: Duration,
) -> anyhow::Result<Outcome> {
    let now = Utc::now();
    let readers = match user {
        Some(address) => vec![digester.reader_of(address).await?],
        None if digester.readers.is_empty() => bail!(
            "there is no recipient of a digest; set DIGEST_RECIPIENTS (--digest-recipients) or ALERT_RECIPIENTS, or name an account \
             with --user"
        ),
        None => digester.readers.clone(),
    };
    if is_preview {
        let text = digester.preview(&readers[0], now).await?;
        return Ok(Outcome { text, is_complete: true });
    }
    let (mut lines, mut is_complete) = (Vec::new(), true);
    let deadline = Instant::now() + wait;
    for reader in &readers {
        let is_new = digester.owe_now(reader, now).await?;
        let until = if is_new { deadline } else { Instant::now() };
        let state = digester.sent(reader, now, until).await?;
        is_complete &= matches!(state, MailState::Owed { .. } | MailState::Sent { .. });
        lines.push(format!("the digest of today for {} {}", reader.address, outcome(is_new, &state)));
    }
    Ok(Outcome { text: lines.join("\n"), is_complete })
}

fn outcome(is_new: bool, state: &MailState) -> String {
    let state = match state {
        MailState::Sent { .. } if is_new => return "was sent".to_owned(),
        MailState::Owed { last_error: None, .. } if is_new => {
            return "is owed, and is sent by the running service; none has sent it yet".to_owned();
        }
        MailState::Sent { at } => format!("sent at {}", at.format("%H:%M UTC")),
        MailState::Owed { last_error: None, .. } => "owed".to_owned(),
        MailState::Owed { last_error: Some(reason), .. } => format!("owed; the last try failed: {reason}"),
        MailState::Refused { reason, .. } => format!("refused: {reason}"),
        MailState::Expired { reason, .. } => format!("expired: {reason}"),
    };
    if is_new { format!("is {state}") } else { format!("was made before: {state}") }
}

impl Digester {
    /// Owes the digest of today, whatever the hour. Whether it is new.
    async fn owe_now(&self, reader: &DigestReader, now: DateTime<Utc>) -> anyhow::Result<bool> {
        let until = now + TimeDelta::hours(FIRST_HOURS);
        let due = DueDigest { date: reader.date(now), since: now, until };
        self.owe(reader, due, &mut self.material(now)).await
    }

    /// The mail of today as text; nothing is recorded.
    async fn preview(&self, reader: &DigestReader, now: DateTime<Utc>) -> anyhow::Result<String> {
        let composed =
            self.compose(reader, reader.date(now), true, false, &mut self.material(now)).await?.content;
        Ok(format!("To: {}\nSubject: {}\n\n{}", reader.address, composed.subject, composed.text))
    }

    /// How far the mail of today is, once it has been tried or `until` has passed.
    async fn sent(
        &self,
        reader: &DigestReader,
        now: DateTime<Utc>,
        until: Instant,
    ) -> anyhow::Result<MailState> {
        let id = reader.mail_id(reader.date(now))?;
        loop {
            let mails =
                self.store.mails(std::slice::from_ref(&id)).await.map_err(anyhow::Error::from_boxed)?;
            let state =
                mails.into_iter().next().context("the digest that is owed is not in the store")?.state;
            let is_tried = !matches!(state, MailState::Owed { last_error: None, .. });
            if is_tried || Instant::now() >= until {
                return Ok(state);
            }
            sleep(Duration::from_millis(POLL_MS)).await;
        }
    }

    /// The reader of an address, in any spelling: its account, or a recipient of the house.
    ///
    /// # Errors
    /// None of them.
    async fn reader_of(&self, address: &EmailAddress) -> anyhow::Result<DigestReader> {
        let house = self.readers.iter().find(|reader| reader.address == *address);
        let user = self.store.user_of(address).await.context("cannot read the accounts")?;
        let Some(user) = user else {
            return house.cloned().with_context(|| {
                format!(
                    "{address} gets no digest: it has no account, and is none of the recipients of the house; add it to \
                     DIGEST_RECIPIENTS (--digest-recipients), or its account with `tapedeck user add`"
                )
            });
        };
        match (people::absence(&user), house) {
            (None, _) => people::reader_of(&user, &self.public_url),
            (Some(NoDigest::Unconfirmed | NoDigest::NoSymbols), Some(house)) => Ok(house.clone()),
            (Some(reason), _) => bail!("{address} gets no digest: {reason}"),
        }
    }
}
