//! Accounts, rules and the history of alerts, from one store into another.
//!
//! They are in no archive: an export is handed on as price data, and must not have addresses and password hashes in it.

use accounts::{User, UserId};
use alert_rules::{AlertRule, DeliveryState, Owner, RuleFields};
use chrono::{DateTime, Days, Utc};
use live_store::{AlertQuery, LiveStore, MAX_PAGE_ALERTS, MAX_PAGE_USERS, StoredAlert};
use owed_mails::{MailId, MailState, StoreError};
use tokio_util::sync::CancellationToken;

use crate::{ArchiveError, Result};

/// What the target holds of the source now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountCounts {
    /// Accounts.
    pub users: u64,
    /// Alert rules, of the house and of people.
    pub rules: u64,
    /// Alerts, with what was delivered to whom.
    pub alerts: u64,
}

/// Copies accounts, alert rules and alerts. What the source has changed since an earlier copy is changed in the target, too; what was
/// removed there stays here. Sessions and links in mails that wait for an answer are left out: people sign in again.
///
/// # Errors
/// Stores that fail or refuse, and [`ArchiveError::Stopped`].
pub async fn copy_accounts(
    from: &dyn LiveStore,
    to: &dyn LiveStore,
    stop: &CancellationToken,
) -> Result<AccountCounts> {
    let mut counts =
        AccountCounts { rules: copy_rules(from, to, &Owner::House).await?, ..Default::default() };
    let mut after: Option<UserId> = None;
    loop {
        let users = from.users(after, MAX_PAGE_USERS).await?;
        let Some(last) = users.last() else { break };
        after = Some(last.id);
        for user in &users {
            stop_here(stop)?;
            // The rules first: a person whose account is there has them.
            counts.rules += copy_rules(from, to, &owner(user.id)?).await?;
            copy_user(to, user).await?;
            counts.users += 1;
        }
    }
    let mut query = AlertQuery {
        symbol: None,
        owners: Vec::new(),
        from: DateTime::UNIX_EPOCH,
        // A clock that was ahead.
        to: Utc::now() + Days::new(366),
        limit: MAX_PAGE_ALERTS,
        cursor: None,
    };
    loop {
        stop_here(stop)?;
        let page = from.alerts(&query).await?;
        for alert in &page.alerts {
            copy_alert(from, to, alert).await?;
            counts.alerts += 1;
        }
        match page.next_cursor {
            Some(cursor) => query.cursor = Some(cursor),
            None => return Ok(counts),
        }
    }
}

/// As the owner of rules.
fn owner(user: UserId) -> Result<Owner> {
    let id = alert_rules::UserId::parse(&user.to_string());
    id.map(Owner::User).map_err(|error| ArchiveError::Rule(error.to_string()))
}

fn stop_here(stop: &CancellationToken) -> Result<()> {
    if stop.is_cancelled() { Err(ArchiveError::Stopped) } else { Ok(()) }
}

async fn copy_user(to: &dyn LiveStore, user: &User) -> Result<()> {
    if to.add_user(user).await? {
        return Ok(());
    }
    match to.user(user.id).await? {
        // The target raises the revision by itself.
        Some(there) if there.revision < user.revision => {
            let changed = User { revision: there.revision, ..user.clone() };
            if changed != there {
                to.change_user(&changed).await?;
            }
            Ok(())
        }
        Some(_) => Ok(()),
        None => Err(ArchiveError::Account(user.email.masked())),
    }
}

/// How many rules the owner has.
async fn copy_rules(from: &dyn LiveStore, to: &dyn LiveStore, owner: &Owner) -> Result<u64> {
    let rules = from.alert_rules_of(owner).await?;
    for rule in &rules {
        let there = to.alert_rule(&rule.id).await?.map_or(0, |there| there.revision);
        // A store takes one revision after the other. The revision is a part of the identity of alerts.
        for revision in there + 1..=rule.revision {
            let fields = RuleFields { revision, ..RuleFields::from(rule.clone()) };
            let rule = AlertRule::new(fields).map_err(|error| ArchiveError::Rule(error.to_string()))?;
            to.put_alert_rule(&rule).await?;
        }
    }
    Ok(rules.len() as u64)
}

async fn copy_alert(from: &dyn LiveStore, to: &dyn LiveStore, source: &StoredAlert) -> Result<()> {
    let StoredAlert { alert, recorded_at, version } = source;
    let mut alert = alert.clone();
    for delivery in &mut alert.deliveries {
        if let DeliveryState::InMail { mail } = &delivery.state
            && let Some(ended) = copy_mail(from, to, mail).await?
        {
            delivery.state = ended;
        }
    }
    if to.add_alerts(std::slice::from_ref(&alert), *recorded_at).await? == [true] {
        return Ok(());
    }
    let there = to.alert(&alert.id).await?;
    // A delivery that was owed at the first copy may have been sent since.
    if let Some(there) = there.filter(|there| there.version < *version && there.alert != alert) {
        to.replace_alert(&StoredAlert { alert, ..there }).await?;
    }
    Ok(())
}

/// The end of a mail about alerts, if it has one; otherwise the mail is copied, so that it is sent.
async fn copy_mail(from: &dyn LiveStore, to: &dyn LiveStore, id: &str) -> Result<Option<DeliveryState>> {
    let failed = |error: StoreError| ArchiveError::Mail(error.to_string());
    let Ok(mail_id) = MailId::parse(id) else { return Ok(None) };
    let Some(stored) = from.mails(&[mail_id]).await.map_err(failed)?.into_iter().next() else {
        return Ok(None);
    };
    let mail = id.to_owned();
    Ok(match stored.state {
        MailState::Owed { .. } => {
            to.add_mail(&stored.mail).await.map_err(failed)?;
            None
        }
        MailState::Sent { at } => Some(DeliveryState::Sent { mail, at }),
        MailState::Refused { at, reason } => Some(DeliveryState::Refused { mail, at, reason }),
        MailState::Expired { at, reason } => Some(DeliveryState::Expired { mail, at, reason }),
    })
}
