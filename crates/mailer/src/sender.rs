//! The part of a service that sends what is owed: leases a mail, sends it, records the result.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{TimeDelta, Utc};
use owed_mails::{MailId, MailState, MailStore, OwedMail, StoreError, StoredMail};
use service_runtime::{Component, Runtime};
use tokio::{
    task::{JoinError, JoinSet},
    time::Instant,
};

use crate::{Mailer, SendError, metrics::Metrics, retry};

/// The name of the component.
const COMPONENT: &str = "mail";
/// Mails that are tried at the same time.
const MAX_IN_FLIGHT: usize = 4;
/// How long a lease is held without being renewed: the mail of a sender that was killed waits so long.
const LEASE_SECONDS: i64 = 60;
/// Between two renewals.
const RENEW_SECONDS: u64 = 20;
/// Between two looks for due mails.
const POLL_MS: u64 = 1_000;
/// Between two tries to read a store that is unavailable.
const STORE_SECONDS: u64 = 5;
/// Between two counts of the owed mails.
const COUNT_SECONDS: u64 = 15;
/// A server that was not used for so long is connected to, so that its outage is reported before the next mail.
const CHECK_SECONDS: u64 = 300;
/// First wait before a result is recorded again; doubled up to the longest.
const RECORD_MIN_MS: u64 = 250;
/// See [`RECORD_MIN_MS`].
const RECORD_MAX_MS: u64 = 5_000;
/// A result that the store has not taken for so long is given up; the mail is sent again, with the same Message-ID.
const RECORD_LIMIT_SECONDS: u64 = 600;

/// Sends the mails of the store until the shutdown; then those in flight are finished. The component `mail` is down while the mail
/// server is unavailable.
///
/// # Errors
/// None while mail server and store are unavailable: they are reported and tried again.
pub async fn run_sender(store: Arc<dyn MailStore>, mailer: Mailer, runtime: Runtime) -> anyhow::Result<()> {
    let status = &runtime.status;
    let sender = Arc::new(MailSender {
        store,
        mailer,
        owner: format!("{} {}", status.service(), status.instance()),
        metrics: Metrics::new(status),
        health: status.secondary_component(COMPONENT),
    });
    let mut tries = Tries {
        sender: Arc::clone(&sender),
        running: JoinSet::new(),
        begun: 0,
        pace: Pace::Outage { failures: 0, probe_at: Instant::now() },
        used_at: Instant::now(),
        counted_at: None,
        store_failed: false,
    };
    loop {
        // Connecting may take longer than a shutdown. A lease that is being taken then expires.
        let wait = tokio::select! {
            () = runtime.shutdown.cancelled() => break,
            wait = tries.begin() => wait,
        };
        tokio::select! {
            () = runtime.shutdown.cancelled() => break,
            Some(ended) = tries.running.join_next() => tries.ended(ended),
            () = tokio::time::sleep(wait) => {}
        }
    }
    tokio::select! {
        () = async { while tries.running.join_next().await.is_some() {} } => {}
        () = runtime.shutdown_budget().store_drain().passed() => {
            tracing::warn!("mails in flight are given up; they are sent again, with the same Message-ID");
        }
    }
    Ok(())
}

/// What the tries share.
struct MailSender {
    store: Arc<dyn MailStore>,
    mailer: Mailer,
    owner: String,
    metrics: Metrics,
    health: Component,
}

/// How many mails may be in flight, by what is known of the server.
#[derive(Debug)]
enum Pace {
    /// It works.
    Open,
    /// It accepts connections again; one mail shows whether it takes mails.
    Trial { failures: u32 },
    /// It was unavailable so many times in a row; no mail is tried before it has accepted a connection.
    Outage { failures: u32, probe_at: Instant },
}

/// The tries of this process.
struct Tries {
    sender: Arc<MailSender>,
    running: JoinSet<Tried>,
    /// Numbers the owners, so that an outdated try does not end a later one's lease.
    begun: u64,
    pace: Pace,
    /// When the server was used last.
    used_at: Instant,
    counted_at: Option<Instant>,
    /// The store was unavailable when it was read last.
    store_failed: bool,
}

/// What a try means for the next ones.
enum Tried {
    /// The server replied to it.
    Replied,
    /// The server is unavailable.
    Unavailable(String),
    /// Nothing was sent.
    Nothing,
}

impl Tries {
    /// Begins as many tries as may be in flight. Returns how long to wait for more.
    async fn begin(&mut self) -> Duration {
        self.count_owed().await;
        self.probe().await;
        let room = match self.pace {
            Pace::Open => MAX_IN_FLIGHT,
            Pace::Trial { .. } => 1,
            Pace::Outage { probe_at, .. } => {
                return probe_at
                    .saturating_duration_since(Instant::now())
                    .min(Duration::from_secs(COUNT_SECONDS));
            }
        };
        while self.running.len() < room {
            let owner = format!("{} {}", self.sender.owner, self.begun);
            let now = Utc::now();
            match self.sender.store.lease_mail(&owner, now, now + TimeDelta::seconds(LEASE_SECONDS)).await {
                Ok(Some(leased)) => {
                    self.store_works();
                    self.begun += 1;
                    self.running.spawn(Arc::clone(&self.sender).try_mail(leased, owner));
                }
                Ok(None) => {
                    self.store_works();
                    // The server accepts connections, and no mail is due that could show more.
                    if matches!(self.pace, Pace::Trial { .. }) && self.running.is_empty() {
                        self.works();
                    }
                    break;
                }
                Err(error) => {
                    self.store_failed = true;
                    self.sender.store_unavailable(&error);
                    return Duration::from_secs(STORE_SECONDS);
                }
            }
        }
        Duration::from_millis(POLL_MS)
    }

    /// Connects to a server that was unavailable, or not used for long.
    async fn probe(&mut self) {
        let failures = match self.pace {
            Pace::Outage { failures, probe_at } if probe_at <= Instant::now() => failures,
            Pace::Open if self.used_at.elapsed() >= Duration::from_secs(CHECK_SECONDS) => 0,
            _ => return,
        };
        self.used_at = Instant::now();
        match self.sender.mailer.check().await {
            Ok(()) if failures == 0 => self.works(),
            Ok(()) => self.pace = Pace::Trial { failures },
            Err(error) => self.unavailable(&error.to_string()),
        }
    }

    fn works(&mut self) {
        self.pace = Pace::Open;
        self.sender.health.up(&format!("mails go to {}", self.sender.mailer.place()));
    }

    fn store_works(&mut self) {
        if std::mem::take(&mut self.store_failed) && matches!(self.pace, Pace::Open) {
            self.works();
        }
    }

    fn unavailable(&mut self, reason: &str) {
        let failures = match self.pace {
            Pace::Open => 1,
            Pace::Trial { failures } | Pace::Outage { failures, .. } => failures.saturating_add(1),
        };
        let wait = retry::probe_wait(failures, rand::random()).to_std().unwrap_or_default();
        let reason = format!("{reason}; trying again in {:.1} s", wait.as_secs_f64());
        tracing::warn!(reason, "mails wait");
        self.sender.health.down(&reason);
        self.pace = Pace::Outage { failures, probe_at: Instant::now() + wait };
    }

    fn ended(&mut self, ended: Result<Tried, JoinError>) {
        match ended {
            Ok(Tried::Replied) => {
                self.used_at = Instant::now();
                self.works();
            }
            // Of several tries in flight the first counts.
            Ok(Tried::Unavailable(reason)) if !matches!(self.pace, Pace::Outage { .. }) => {
                self.unavailable(&reason);
            }
            Ok(Tried::Unavailable(_) | Tried::Nothing) => {}
            Err(error) => tracing::error!(%error, "the try of a mail panicked; its lease expires"),
        }
    }

    async fn count_owed(&mut self) {
        let every = Duration::from_secs(COUNT_SECONDS);
        if self.counted_at.is_some_and(|counted_at| counted_at.elapsed() < every) {
            return;
        }
        self.counted_at = Some(Instant::now());
        match self.sender.store.owed_mails().await {
            Ok(owed) => self.sender.metrics.owed.set(owed as f64),
            Err(error) => tracing::debug!(error, "the owed mails were not counted"),
        }
    }
}

impl MailSender {
    /// Tries a mail that is leased to `owner`, and records the result.
    async fn try_mail(self: Arc<Self>, StoredMail { mail, state }: StoredMail, owner: String) -> Tried {
        // The store leases owed mails only.
        let MailState::Owed { attempts, last_error, .. } = state else { return Tried::Nothing };
        let now = Utc::now();
        if let Some(expired) = retry::expired(last_error.as_deref(), now, mail.expires_at) {
            self.record(&mail, &owner, &expired).await;
            return Tried::Nothing;
        }
        match self.store.declined(&mail).await {
            Ok(None) => {}
            Ok(Some(reason)) => {
                let refused = MailState::Refused { at: now, reason: reason.to_owned() };
                self.record(&mail, &owner, &refused).await;
                return Tried::Nothing;
            }
            Err(error) => {
                // The lease expires.
                self.store_unavailable(&error);
                return Tried::Nothing;
            }
        }
        let sent = tokio::select! {
            sent = self.mailer.send(&mail) => sent,
            reason = self.keep_lease(&mail.id, &owner) => {
                tracing::warn!(mail = %mail.id, reason, "the try of a mail is given up");
                return Tried::Nothing;
            }
        };
        let now = Utc::now();
        let (state, tried) = match sent {
            Ok(()) => (MailState::Sent { at: now }, Tried::Replied),
            Err(SendError::Refused(reason)) => {
                (MailState::Refused { at: now, reason: retry::clipped(&reason) }, Tried::Replied)
            }
            Err(SendError::Transient(reason)) => {
                let state = retry::after_failure(attempts, &reason, now, mail.expires_at, rand::random());
                (state, Tried::Replied)
            }
            Err(SendError::Unavailable(reason)) => {
                // Due at once: all mails wait until the server works.
                let last_error = Some(retry::clipped(&reason));
                let state =
                    MailState::Owed { attempts: attempts.saturating_add(1), next_try_at: now, last_error };
                (state, Tried::Unavailable(reason))
            }
        };
        self.record(&mail, &owner, &state).await;
        tried
    }

    /// Renews the lease until that fails for good; returns why.
    async fn keep_lease(&self, id: &MailId, owner: &str) -> String {
        let mut until = Instant::now() + Duration::from_secs(LEASE_SECONDS.unsigned_abs());
        loop {
            tokio::time::sleep(Duration::from_secs(RENEW_SECONDS)).await;
            let asked = Instant::now();
            let lease = Utc::now() + TimeDelta::seconds(LEASE_SECONDS);
            match self.store.renew_mail(id, owner, lease).await {
                Ok(true) => until = asked + Duration::from_secs(LEASE_SECONDS.unsigned_abs()),
                Ok(false) => return "another process has its lease".to_owned(),
                Err(error) if Instant::now() >= until => {
                    return format!("its lease was not renewed: {error}");
                }
                Err(error) => tracing::warn!(error, "the lease of a mail was not renewed yet"),
            }
        }
    }

    /// Stores the result of a try, patiently: a mail that was sent and is not recorded is sent again.
    async fn record(&self, mail: &OwedMail, owner: &str, state: &MailState) {
        let mut waits = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(RECORD_MIN_MS))
            .with_max_delay(Duration::from_millis(RECORD_MAX_MS))
            .without_max_times()
            .build();
        let began = Instant::now();
        loop {
            match self.store.finish_try(&mail.id, owner, state).await {
                Ok(true) => return self.report(mail, state),
                Ok(false) => {
                    tracing::warn!(mail = %mail.id, state = state.name(), "another process has the lease of a mail");
                    return;
                }
                Err(error) if began.elapsed() >= Duration::from_secs(RECORD_LIMIT_SECONDS) => {
                    tracing::error!(mail = %mail.id, state = state.name(), error, "the result of a mail is not recorded");
                    return;
                }
                Err(error) => self.store_unavailable(&error),
            }
            tokio::time::sleep(waits.next().unwrap_or(Duration::from_millis(RECORD_MAX_MS))).await;
        }
    }

    fn report(&self, mail: &OwedMail, state: &MailState) {
        let (id, to) = (&mail.id, mail.recipient.masked());
        match state {
            MailState::Sent { .. } => {
                self.metrics.sent.add(1);
                tracing::info!(mail = %id, to, "a mail was sent");
            }
            MailState::Refused { reason, .. } => {
                self.metrics.refused.add(1);
                tracing::warn!(mail = %id, to, reason, "a mail was refused");
            }
            MailState::Expired { reason, .. } => {
                self.metrics.expired.add(1);
                tracing::warn!(mail = %id, to, reason, "a mail was not sent in its time");
            }
            MailState::Owed { attempts, next_try_at, last_error } => {
                self.metrics.retried.add(1);
                let reason = last_error.as_deref().unwrap_or_default();
                tracing::warn!(mail = %id, to, attempts, %next_try_at, reason, "a mail is tried again");
            }
        }
    }

    fn store_unavailable(&self, error: &StoreError) {
        let reason = format!("the store of owed mails is unavailable: {error}");
        tracing::warn!(reason, "mails wait");
        self.health.down(&reason);
    }
}
