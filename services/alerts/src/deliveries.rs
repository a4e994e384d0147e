//! Puts what is owed into mails, and notes what became of them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use alert_rules::{Alert, AlertId, Delivery, DeliveryState, Owner};
use anyhow::{Context, anyhow};
use chrono::{DateTime, Days, TimeDelta, Utc};
use live_store::{LiveStore, StoredAlert};
use mailer::{EmailAddress, MailId, MailState, MailStore, OwedMail, StoredMail};
use service_runtime::{Component, Runtime};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    day_chart::DayCharts,
    grouping::{EarlierMail, Limits, Plan, plan},
    history::change_alert,
    lease::Lease,
    letter,
    metrics::Metrics,
    reader::Reader,
    sealed_mail::{SealedMail, is_about_alerts, mail_id},
};

/// Between two rounds.
const INTERVAL_MS: u64 = 250;
/// After a round that failed.
const RETRY_INTERVAL_MS: u64 = 1_000;
/// One process at a time makes mails.
const LEASE: &str = "alert mails";
/// Alerts with unfinished deliveries that one round looks at.
const MAX_PENDING: usize = 5_000;
/// A mail that cannot be sent for so long is not sent any more.
const MAIL_LIFETIME_HOURS: i64 = 24;

/// The loop.
pub(crate) struct Deliveries {
    store: Arc<dyn LiveStore>,
    mails: Arc<dyn MailStore>,
    public_url: Url,
    limits: Limits,
    charts: DayCharts,
    lease: Lease,
    /// The last round was cut, by another process or an error: mails may be sealed whose alerts do not name them yet.
    must_recover: bool,
    health: Component,
    metrics: Arc<Metrics>,
}

/// A recipient, whose rules these are (a person ends the mails about their own only), and whether the alerts are about a recording:
/// they go another way.
type GroupKey = (String, Owner, bool);

/// What is owed to one recipient, in the order in which it was stored.
struct Group {
    address: EmailAddress,
    owner: Owner,
    is_recorded: bool,
    alerts: Vec<AlertId>,
}

impl Deliveries {
    pub(crate) fn new(
        public_url: Url,
        limits: Limits,
        store: Arc<dyn LiveStore>,
        mails: Arc<dyn MailStore>,
        runtime: &Runtime,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            charts: DayCharts::new(Arc::clone(&store)),
            lease: Lease::new(Arc::clone(&store), LEASE, runtime.status.instance()),
            store,
            mails,
            public_url,
            limits,
            must_recover: true,
            // Alerts are found and stored without it.
            health: runtime.status.secondary_component("alert deliveries"),
            metrics,
        }
    }

    /// Runs until the shutdown. What it did not finish is finished by the next process.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let mut wait = Duration::from_millis(INTERVAL_MS);
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => break,
            }
            let round = tokio::select! {
                round = self.round(Utc::now()) => round,
                () = shutdown.cancelled() => break,
            };
            wait = match round {
                Ok(detail) => {
                    self.health.up(detail);
                    Duration::from_millis(INTERVAL_MS)
                }
                Err(error) => {
                    self.must_recover = true;
                    self.health.down(&format!("{error:#}"));
                    Duration::from_millis(RETRY_INTERVAL_MS)
                }
            };
        }
        self.lease.release().await;
        Ok(())
    }

    async fn round(&mut self, now: DateTime<Utc>) -> anyhow::Result<&'static str> {
        if !self.lease.hold(now).await? {
            self.must_recover = true;
            return Ok("another process makes the mails");
        }
        self.charts.start_round();
        let pending = self.store.pending_alerts(MAX_PENDING).await?;
        if pending.len() == MAX_PENDING {
            tracing::warn!(
                pending = MAX_PENDING,
                "more deliveries are unfinished than are looked at; the newest ones wait"
            );
        }
        self.settle(&pending).await?;
        let (groups, bad) = groups(&pending);
        for (alert, recipient, reason) in bad {
            self.suppress(&alert, &recipient, &reason, now).await?;
        }
        for group in groups {
            if self.must_recover && self.finish_sealed(&group, now).await? {
                // The rest is looked at in the next round, when these alerts are no longer owed.
                continue;
            }
            self.decide(&group, now).await?;
        }
        self.must_recover = false;
        Ok("makes the mails")
    }

    /// Notes what became of mails.
    async fn settle(&self, pending: &[StoredAlert]) -> anyhow::Result<()> {
        let mut ids: Vec<&str> = pending.iter().flat_map(|stored| mails_of(&stored.alert)).collect();
        ids.sort_unstable();
        ids.dedup();
        let ids: Vec<MailId> = ids.into_iter().filter_map(|id| MailId::parse(id).ok()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mails = self.mails.mails(&ids).await.map_err(|error| anyhow!("cannot read mails: {error}"))?;
        let ended: HashMap<String, DeliveryState> = mails
            .iter()
            .filter_map(|mail| Some((mail.mail.id.as_str().to_owned(), outcome(mail)?)))
            .collect();
        for stored in pending.iter().filter(|stored| mails_of(&stored.alert).any(|id| ended.contains_key(id)))
        {
            change_alert(&*self.store, &stored.alert.id, |alert| {
                let mut is_changed = false;
                for delivery in &mut alert.deliveries {
                    if let DeliveryState::InMail { mail } = &delivery.state
                        && let Some(state) = ended.get(mail)
                    {
                        (delivery.state, is_changed) = (state.clone(), true);
                    }
                }
                is_changed
            })
            .await?;
        }
        Ok(())
    }

    /// Finishes the mails that were decided on before a crash. Whether there was one.
    async fn finish_sealed(&self, group: &Group, now: DateTime<Utc>) -> anyhow::Result<bool> {
        let mut has_finished = false;
        for first in &group.alerts {
            let id = mail_id(first, &group.address)?;
            if let Some(sealed) = SealedMail::find(&*self.store, &id).await? {
                self.finish(&id, group, &sealed, now).await?;
                has_finished = true;
            }
        }
        Ok(has_finished)
    }

    async fn decide(&self, group: &Group, now: DateTime<Utc>) -> anyhow::Result<()> {
        let Some(first) = group.alerts.first() else { return Ok(()) };
        let midnight = now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        // Covers this day, the longest group, and every mail that may be owed.
        let since = now - TimeDelta::hours(MAIL_LIFETIME_HOURS);
        let mails = self.mails.mails_to(&group.address, since).await;
        let mails = mails.map_err(|error| anyhow!("cannot read the mails to a recipient: {error}"))?;
        let is_alike =
            |mail: &&StoredMail| is_about_alerts(&mail.mail.id) && mail.mail.is_recorded == group.is_recorded;
        let earlier = |mail: &StoredMail| EarlierMail {
            created_at: mail.mail.created_at,
            is_owed: !mail.state.is_final(),
        };
        let alike: Vec<EarlierMail> = mails.iter().filter(is_alike).map(earlier).collect();
        match plan(self.limits, now, &alike, group.alerts.len()) {
            Plan::Wait => Ok(()),
            Plan::Suppress => {
                let tomorrow = midnight.checked_add_days(Days::new(1)).unwrap_or(midnight);
                let reason = format!(
                    "{} mails about alerts were sent to this recipient today; the next one is sent from {} UTC on",
                    self.limits.mails_a_day,
                    tomorrow.format("%Y-%m-%d %H:%M")
                );
                for alert in &group.alerts {
                    self.suppress(alert, &group.address.key(), &reason, now).await?;
                }
                Ok(())
            }
            Plan::Mail { alerts, is_last_of_day } => {
                let id = mail_id(first, &group.address)?;
                let sealed = SealedMail {
                    recipient: group.address.key(),
                    alerts: group.alerts.iter().take(alerts).cloned().collect(),
                    // To the millisecond, as mails have it.
                    created_at: DateTime::from_timestamp_millis(now.timestamp_millis()).unwrap_or(now),
                    is_last_of_day,
                    is_recorded: group.is_recorded,
                };
                let sealed = sealed.seal(&*self.store, &id).await?;
                self.finish(&id, group, &sealed, now).await
            }
        }
    }

    /// Makes the mail owed, then notes it with its alerts: the first one last, because the mail is found by it. A person who does not
    /// receive such mails any more gets none, unless it was owed before.
    async fn finish(
        &self,
        id: &MailId,
        group: &Group,
        sealed: &SealedMail,
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let stored = self.mails.mails(std::slice::from_ref(id)).await;
        if stored.map_err(|error| anyhow!("cannot read a mail about alerts: {error}"))?.is_empty() {
            let reader = Reader::find(&*self.store, &group.owner, &group.address, &self.public_url);
            let reader = reader.await.context("cannot look up the account of a recipient")?;
            if let Reader::Declined(reason) = reader {
                for alert in sealed.alerts.iter().rev() {
                    self.suppress(alert, &sealed.recipient, reason, now).await?;
                }
                return Ok(());
            }
            self.add_mail(id, group, sealed, &reader).await?;
        }
        let in_mail = DeliveryState::InMail { mail: id.as_str().to_owned() };
        for alert in sealed.alerts.iter().rev() {
            self.change_owed(alert, &sealed.recipient, &in_mail).await?;
        }
        Ok(())
    }

    /// Stores the mail with its content.
    async fn add_mail(
        &self,
        id: &MailId,
        group: &Group,
        sealed: &SealedMail,
        reader: &Reader,
    ) -> anyhow::Result<()> {
        let mut alerts = Vec::with_capacity(sealed.alerts.len());
        for alert in &sealed.alerts {
            let stored = self.store.alert(alert).await?.map(|stored| stored.alert);
            alerts.extend(stored.filter(|alert| is_owed_to(alert, &sealed.recipient)));
        }
        if alerts.is_empty() {
            return Ok(());
        }
        let last_of_day = sealed.is_last_of_day.then_some(self.limits.mails_a_day);
        // The mail is not stored yet: no recipient has seen another picture.
        let charts = self.charts.of(&alerts).await;
        let content = letter::content(&alerts, &self.public_url, last_of_day, &charts, reader);
        let mail = OwedMail {
            id: id.clone(),
            recipient: group.address.clone(),
            content,
            created_at: sealed.created_at,
            expires_at: sealed.created_at + TimeDelta::hours(MAIL_LIFETIME_HOURS),
            is_recorded: sealed.is_recorded,
        };
        let added = self.mails.add_mail(&mail).await;
        if added.map_err(|error| anyhow!("cannot store a mail about alerts: {error}"))? {
            self.metrics.mails.add(1);
            tracing::info!(mail = %id, alerts = alerts.len(), "a mail about alerts is owed");
        }
        Ok(())
    }

    async fn suppress(
        &self,
        alert: &AlertId,
        recipient: &str,
        reason: &str,
        now: DateTime<Utc>,
    ) -> anyhow::Result<()> {
        let state = DeliveryState::Suppressed { at: now, reason: reason.to_owned() };
        if self.change_owed(alert, recipient, &state).await? {
            self.metrics.suppressed.add(1);
        }
        Ok(())
    }

    /// Changes the deliveries to a recipient (by its key, as rules may spell one address in two ways) that are owed. Whether there
    /// was one.
    async fn change_owed(
        &self,
        id: &AlertId,
        recipient: &str,
        state: &DeliveryState,
    ) -> anyhow::Result<bool> {
        let changed = change_alert(&*self.store, id, |alert| {
            let mut is_changed = false;
            for delivery in &mut alert.deliveries {
                if is_owed(delivery, recipient) {
                    (delivery.state, is_changed) = (state.clone(), true);
                }
            }
            is_changed
        });
        Ok(changed.await?.is_some_and(|(_, is_changed)| is_changed))
    }
}

/// What makes two recipients the same: the key of an address, or the text of what is none.
fn key_of(recipient: &str) -> String {
    EmailAddress::parse(recipient).map_or_else(|_| recipient.to_owned(), |address| address.key())
}

/// Whether a delivery to this recipient is in no mail yet.
fn is_owed(delivery: &Delivery, recipient: &str) -> bool {
    delivery.state == DeliveryState::Owed && key_of(&delivery.recipient) == recipient
}

fn is_owed_to(alert: &Alert, recipient: &str) -> bool {
    alert.deliveries.iter().any(|delivery| is_owed(delivery, recipient))
}

/// The mails that the deliveries of an alert wait for.
fn mails_of(alert: &Alert) -> impl Iterator<Item = &str> {
    alert.deliveries.iter().filter_map(|delivery| match &delivery.state {
        DeliveryState::InMail { mail } => Some(mail.as_str()),
        _ => None,
    })
}

/// What became of a mail; `None` while it is owed.
fn outcome(mail: &StoredMail) -> Option<DeliveryState> {
    let id = mail.mail.id.as_str().to_owned();
    match &mail.state {
        MailState::Owed { .. } => None,
        MailState::Sent { at } => Some(DeliveryState::Sent { mail: id, at: *at }),
        MailState::Refused { at, reason } => {
            Some(DeliveryState::Refused { mail: id, at: *at, reason: reason.clone() })
        }
        MailState::Expired { at, reason } => {
            Some(DeliveryState::Expired { mail: id, at: *at, reason: reason.clone() })
        }
    }
}

/// An alert, a recipient that is no address, and why.
type BadRecipient = (AlertId, String, String);

/// What is owed, by recipient. The group that has waited for longest is first: of several to one address one becomes a mail, and the
/// others wait for the next.
fn groups(pending: &[StoredAlert]) -> (Vec<Group>, Vec<BadRecipient>) {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: HashMap<GroupKey, usize> = HashMap::new();
    let mut bad = Vec::new();
    for StoredAlert { alert, .. } in pending {
        for delivery in alert.deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Owed) {
            let recipient = &delivery.recipient;
            match EmailAddress::parse(recipient) {
                Ok(address) => {
                    let key = (address.key(), alert.owner.clone(), alert.is_recorded);
                    let place = *places.entry(key).or_insert(groups.len());
                    let (id, owner, is_recorded) = (alert.id.clone(), alert.owner.clone(), alert.is_recorded);
                    match groups.get_mut(place) {
                        Some(group) => group.alerts.push(id),
                        None => groups.push(Group { address, owner, is_recorded, alerts: vec![id] }),
                    }
                }
                Err(error) => bad.push((alert.id.clone(), recipient.clone(), error.to_string())),
            }
        }
    }
    (groups, bad)
}
