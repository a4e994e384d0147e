//! What depends on whether an address has an account: done behind the response, so that neither its content nor its time reveals it.

use std::{sync::Arc, time::Duration};

use accounts::{OneTimeToken, PasswordHash, Secret, TokenPurpose, User};
use chrono::Utc;
use live_store::{LiveStore, LiveStoreError};
use metrics::counter;
use owed_mails::{EmailAddress, OwedMail};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{AccountError, Choices, letters};

/// Mails that were requested and are not written yet.
pub(crate) const MAX_REQUESTS: usize = 256;
/// Tries to write a mail while the store is unavailable.
const ATTEMPTS: u32 = 10;
/// Between two tries.
const RETRY_MS: u64 = 1_000;
/// How often a user who was added or changed by another process meanwhile is looked up again.
const RACES: usize = 5;

/// Mails about accounts, by kind.
const MAILS: &str = "tapedeck_account_mails_total";

/// A mail that a person requested on a page.
#[derive(Clone, Debug)]
pub(crate) enum MailRequest {
    /// To register an address.
    Register { email: EmailAddress, password: PasswordHash, choices: Choices },
    /// Once more to confirm an address.
    Confirm(EmailAddress),
    /// To choose a new password.
    Reset(EmailAddress),
}

/// Writes the mails that are requested.
pub(crate) struct MailTask {
    pub(crate) store: Arc<dyn LiveStore>,
    pub(crate) public_url: Url,
    pub(crate) requests: mpsc::Receiver<MailRequest>,
}

impl MailTask {
    /// Runs until the shutdown, then writes what was requested before.
    ///
    /// # Errors
    /// None: what cannot be written is logged, and the person requests it again.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        loop {
            let request = tokio::select! {
                request = self.requests.recv() => request,
                () = shutdown.cancelled() => self.requests.try_recv().ok(),
            };
            let Some(request) = request else { return Ok(()) };
            self.write_patiently(request, &shutdown).await;
        }
    }

    async fn write_patiently(&self, request: MailRequest, shutdown: &CancellationToken) {
        for attempt in 1.. {
            let error = match self.write(request.clone()).await {
                Ok(()) => return,
                Err(error) => error,
            };
            let is_transient = match &error {
                AccountError::Store(error) => error.is_transient(),
                AccountError::OtherStore(error) => {
                    error.downcast_ref().is_none_or(LiveStoreError::is_transient)
                }
                _ => false,
            };
            if !is_transient || attempt >= ATTEMPTS || shutdown.is_cancelled() {
                tracing::error!(%error, "a mail about an account was not written; the person must request it again");
                return;
            }
            tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
        }
    }

    async fn write(&self, request: MailRequest) -> Result<(), AccountError> {
        match request {
            MailRequest::Register { email, password, choices } => {
                self.register(email, password, choices).await
            }
            MailRequest::Confirm(email) => match self.store.user_of(&email).await? {
                Some(user) if !user.is_confirmed() => self.owe_confirmation(&user).await,
                _ => Ok(()),
            },
            MailRequest::Reset(email) => match self.store.user_of(&email).await? {
                Some(user) => self.owe_reset(&user).await,
                None => Ok(()),
            },
        }
    }

    async fn register(
        &self,
        email: EmailAddress,
        password: PasswordHash,
        choices: Choices,
    ) -> Result<(), AccountError> {
        for _ in 0..RACES {
            let found = self.store.user_of(&email).await?;
            let mut user = match found {
                Some(user) if user.is_confirmed() => {
                    return self
                        .owe("registered", letters::already_registered(&self.public_url, &user, Utc::now()))
                        .await;
                }
                // The newest registration counts: its password is needed to confirm it.
                Some(user) => User { password: password.clone(), created_at: Utc::now(), ..user },
                None => User::new(email.clone(), password.clone(), Utc::now()),
            };
            user.watch_list.clone_from(&choices.watch_list);
            user.threshold = choices.threshold;
            user.time_zone = choices.time_zone;
            let is_new = self.store.add_user(&user).await?;
            if is_new || self.store.change_user(&user).await? {
                // A link of an earlier registration would ask for a password that is not valid any more.
                self.store.remove_tokens_of(user.id).await?;
                return self.owe_confirmation(&user).await;
            }
        }
        Err(AccountError::Conflict)
    }

    async fn owe_confirmation(&self, user: &User) -> Result<(), AccountError> {
        let (secret, token) = self.issue(TokenPurpose::Confirm, user).await?;
        self.owe("confirm", letters::confirm(&self.public_url, user, &secret, &token)).await
    }

    /// Of an address that is not confirmed the mail is one to confirm it: the link proves that mails are received.
    async fn owe_reset(&self, user: &User) -> Result<(), AccountError> {
        let (secret, token) = self.issue(TokenPurpose::Reset, user).await?;
        self.owe("reset", letters::reset(&self.public_url, user, &secret, &token)).await
    }

    async fn issue(
        &self,
        purpose: TokenPurpose,
        user: &User,
    ) -> Result<(Secret, OneTimeToken), AccountError> {
        let secret = Secret::generate();
        let token = OneTimeToken::issue(&secret, purpose, user.id, Utc::now());
        self.store.add_token(&token).await?;
        Ok((secret, token))
    }

    async fn owe(&self, kind: &'static str, mail: OwedMail) -> Result<(), AccountError> {
        if self.store.add_mail(&mail).await? {
            counter!(MAILS, "kind" => kind).increment(1);
        }
        Ok(())
    }
}
