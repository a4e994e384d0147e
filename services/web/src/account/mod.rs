//! Accounts: registering, signing in, and what a person changes. The pages are in `routes/account`.
//!
//! Whether an address has an account is shown to its owner only: a page never depends on it, and the work that does (users,
//! tokens, mails) is done behind the response, by [`mail_task::MailTask`].

mod housekeeping;
mod letters;
pub(crate) mod mail_task;
pub(crate) mod rules;
mod throttle;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use accounts::{
    HashError, OneTimeToken, Password, PasswordHasher, Secret, SecretHash, Session, TokenPurpose, User,
    UserId,
};
use chrono::{DateTime, Utc};
use live_store::{LiveStore, LiveStoreError};
use metrics::counter;
use owed_mails::EmailAddress;
use secrecy::SecretString;
use tokio::sync::mpsc;
use url::Url;

use self::{mail_task::MailRequest, throttle::Throttle};
use crate::client_network::TrustedProxies;

pub(crate) use housekeeping::Housekeeping;
pub(crate) use throttle::Throttled;

/// Sign-ins, by outcome.
const SIGN_INS: &str = "tapedeck_account_sign_ins_total";
/// How often a user who was changed by another process meanwhile is read again.
const CHANGE_ATTEMPTS: usize = 5;

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Registration {
    /// Everybody who can open the pages.
    #[default]
    Open,
    /// No visitor; the operator adds people with `tapedeck user add`.
    Closed,
}

/// What the operator set.
#[derive(Clone, Debug)]
pub(crate) struct AccountSettings {
    pub(crate) registration: Registration,
    /// Where readers reach the pages: the start of every link in a mail.
    pub(crate) public_url: Url,
    pub(crate) trusted_proxies: TrustedProxies,
}

impl AccountSettings {
    /// Whether readers reach the pages by TLS only, so that cookies are kept to it.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url.scheme() == "https"
    }
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error("too many attempts")]
    Throttled(Throttled),
    #[error("the live store: {0}")]
    Store(#[from] LiveStoreError),
    #[error("the live store: {0}")]
    OtherStore(#[from] owed_mails::StoreError),
    #[error("an alert rule: {0}")]
    Rule(#[from] alert_rules::InvalidRule),
    #[error(transparent)]
    Hash(#[from] HashError),
    /// More mails are requested than are written.
    #[error("too many mails are requested at once")]
    Busy,
    /// The user was changed again and again by others, or removed.
    #[error("the account was changed by others at the same time, or removed")]
    Conflict,
}

impl From<Throttled> for AccountError {
    fn from(throttled: Throttled) -> Self {
        Self::Throttled(throttled)
    }
}

pub(crate) type Result<T, E = AccountError> = std::result::Result<T, E>;

/// What became of a sign-in.
#[derive(Debug)]
pub(crate) enum SignIn {
    /// The secret is for the cookie.
    SignedIn(Secret),
    /// No such account, or another password.
    Wrong,
    /// The password is right; a mail with a link to confirm the address is on its way.
    Unconfirmed,
}

/// What a person fills in to register.
#[derive(Debug)]
pub(crate) struct NewAccount {
    pub(crate) email: EmailAddress,
    pub(crate) password: Password,
    pub(crate) choices: Choices,
}

/// What a person chooses when registering.
#[derive(Clone, Debug)]
pub(crate) struct Choices {
    pub(crate) watch_list: Vec<market::Symbol>,
    pub(crate) threshold: Option<accounts::Threshold>,
    pub(crate) time_zone: chrono_tz::Tz,
}

/// Removes a user with everything that belongs to it: rules, tokens and sessions. The user itself is last: if this fails in between, it can
/// be repeated.
///
/// # Errors
/// The store fails.
pub async fn remove_account(store: &dyn LiveStore, user: UserId) -> Result<(), LiveStoreError> {
    store.remove_alert_rules_of(&rules::owner(user)).await?;
    store.remove_tokens_of(user).await?;
    store.remove_sessions_of(user).await?;
    store.remove_user(user, None).await?;
    Ok(())
}

/// Brings the alert rules of a user in step with the watch list and the threshold. Can be repeated.
///
/// # Errors
/// The store fails, or other processes change the rules at the same time.
pub async fn synchronise_rules(store: &dyn LiveStore, user: &User) -> anyhow::Result<()> {
    Ok(rules::synchronise(store, user).await?)
}

/// How often things are tried.
struct Limits {
    passwords_of_account: Throttle<String>,
    passwords_of_network: Throttle<IpAddr>,
    mails_of_account: Throttle<String>,
    mails_of_network: Throttle<IpAddr>,
}

impl Default for Limits {
    fn default() -> Self {
        let (minute, tenth) = (Duration::from_secs(60), Duration::from_secs(10));
        Self {
            passwords_of_account: Throttle::new(10, minute),
            passwords_of_network: Throttle::new(30, tenth),
            mails_of_account: Throttle::new(3, 10 * minute),
            mails_of_network: Throttle::new(10, minute),
        }
    }
}

/// The accounts of this installation.
pub(crate) struct Accounts {
    pub(crate) settings: AccountSettings,
    store: Arc<dyn LiveStore>,
    hasher: PasswordHasher,
    limits: Limits,
    mail_requests: mpsc::Sender<MailRequest>,
}

impl Accounts {
    pub(crate) fn new(
        settings: AccountSettings,
        store: Arc<dyn LiveStore>,
        mail_requests: mpsc::Sender<MailRequest>,
    ) -> Self {
        let (hasher, limits) = (PasswordHasher::default(), Limits::default());
        Self { settings, store, hasher, limits, mail_requests }
    }

    pub(crate) fn store(&self) -> &dyn LiveStore {
        &*self.store
    }

    /// Registers an account, or requests the mail that tells the owner of the address that there is one. The work here is the same.
    pub(crate) async fn register(&self, new: NewAccount, network: IpAddr) -> Result<()> {
        self.admit_mail(&new.email, network)?;
        let NewAccount { email, password, choices } = new;
        let password = self.hasher.hash(password).await?;
        // Fails where the store does not answer: then the page must not promise a mail.
        self.store.user_of(&email).await?;
        self.request_mail(MailRequest::Register { email, password, choices })
    }

    /// Requests the mail with a link to choose a new password, if there is an account.
    pub(crate) async fn forget_password(&self, email: EmailAddress, network: IpAddr) -> Result<()> {
        self.admit_mail(&email, network)?;
        self.store.user_of(&email).await?;
        self.request_mail(MailRequest::Reset(email))
    }

    /// Checks address and password; the work is the same whether there is such an account. `previous` is the session of the browser,
    /// which ends: a session that another person put there is not taken over.
    pub(crate) async fn sign_in(
        &self,
        email: &EmailAddress,
        password: &SecretString,
        network: IpAddr,
        previous: Option<SecretHash>,
    ) -> Result<SignIn> {
        let outcome = |outcome: &'static str| counter!(SIGN_INS, "outcome" => outcome).increment(1);
        self.admit_password(email, network).inspect_err(|_| outcome("throttled"))?;
        let user = self.store.user_of(email).await?;
        let hash = user.as_ref().map(|user| &user.password);
        let is_right = self.hasher.verify(password, hash).await?;
        let Some(user) = user.filter(|_| is_right) else {
            outcome("wrong");
            return Ok(SignIn::Wrong);
        };
        if !user.is_confirmed() {
            outcome("unconfirmed");
            // Another mail only as often as for registering.
            if self.admit_mail(email, network).is_ok() {
                self.request_mail(MailRequest::Confirm(email.clone()))?;
            }
            return Ok(SignIn::Unconfirmed);
        }
        outcome("signed_in");
        Ok(SignIn::SignedIn(self.start_session(&user, previous).await?))
    }

    /// A new session of a user whose password was just checked; ends the previous one of the browser.
    pub(crate) async fn start_session(&self, user: &User, previous: Option<SecretHash>) -> Result<Secret> {
        if let Some(previous) = previous {
            self.store.remove_session(previous).await?;
        }
        let secret = Secret::generate();
        self.store.save_session(&Session::start(&secret, user.id, Utc::now())).await?;
        // Sessions are ended behind a change of the password: where that came in between, it has not seen this one.
        let now = self.store.user(user.id).await?;
        if now.is_none_or(|now| now.password != user.password) {
            self.store.remove_session(secret.hash()).await?;
            return Err(AccountError::Conflict);
        }
        Ok(secret)
    }

    /// The user of a session that has not ended. Its use is recorded.
    pub(crate) async fn user_of_session(&self, hash: SecretHash, now: DateTime<Utc>) -> Result<Option<User>> {
        let session = self.store.session(hash).await?.filter(|session| session.is_valid(now));
        let Some(session) = session else { return Ok(None) };
        if let Some(renewed) = session.renewed(now) {
            self.store.renew_session(&renewed).await?;
        }
        Ok(self.store.user(session.user).await?)
    }

    /// Ends a session.
    pub(crate) async fn sign_out(&self, hash: SecretHash) -> Result<()> {
        self.store.remove_session(hash).await?;
        Ok(())
    }

    /// The token of a link and its user; `None` where the link was used, is too old, or was not made by this installation.
    pub(crate) async fn find_token(
        &self,
        secret: &Secret,
        purpose: TokenPurpose,
        now: DateTime<Utc>,
    ) -> Result<Option<(OneTimeToken, User)>> {
        let token = self.store.token(secret.hash()).await?.filter(|token| token.is_valid(purpose, now));
        let Some(token) = token else { return Ok(None) };
        Ok(self.store.user(token.user).await?.map(|user| (token, user)))
    }

    /// Confirms the address of a user with the password of the registration: only who registered and receives the mails has both, so that
    /// neither a link scanner nor a person who registers another's address gets an account. `None`: another password.
    pub(crate) async fn confirm(
        &self,
        token: &OneTimeToken,
        user: &User,
        password: &SecretString,
        network: IpAddr,
        previous: Option<SecretHash>,
    ) -> Result<Option<Secret>> {
        if !self.is_password_of(user, password, network).await? {
            return Ok(None);
        }
        let now = Utc::now();
        let confirmed =
            self.change(user.id, |user| user.confirmed_at = user.confirmed_at.or(Some(now))).await?;
        rules::synchronise(&*self.store, &confirmed).await?;
        self.store.remove_token(token.hash).await?;
        tracing::info!("an address was confirmed");
        self.start_session(&confirmed, previous).await.map(Some)
    }

    /// Sets a new password by the link of a mail, which also confirms the address. Every session ends. `false`: the link was used
    /// meanwhile.
    pub(crate) async fn reset_password(
        &self,
        token: &OneTimeToken,
        user: &User,
        password: Password,
    ) -> Result<bool> {
        let hash = self.hasher.hash(password).await?;
        if !self.store.remove_token(token.hash).await? {
            return Ok(false);
        }
        let now = Utc::now();
        self.set_password(user.id, |user| {
            user.password = hash.clone();
            user.confirmed_at = user.confirmed_at.or(Some(now));
        })
        .await?;
        Ok(true)
    }

    /// Sets a new password; every session ends, and the one of this browser is replaced by a new one.
    pub(crate) async fn change_password(&self, user: &User, password: Password) -> Result<Secret> {
        let hash = self.hasher.hash(password).await?;
        let changed = self.set_password(user.id, |user| user.password = hash.clone()).await?;
        self.start_session(&changed, None).await
    }

    async fn set_password(&self, user: UserId, set: impl Fn(&mut User)) -> Result<User> {
        let changed = self.change(user, set).await?;
        rules::synchronise(&*self.store, &changed).await?;
        self.store.remove_sessions_of(user).await?;
        self.store.remove_tokens_of(user).await?;
        self.store
            .add_mail(&letters::password_changed(&self.settings.public_url, &changed, Utc::now()))
            .await?;
        Ok(changed)
    }

    /// Whether a password is that of a user who is signed in or has a link, within the limits of sign-ins.
    pub(crate) async fn is_password_of(
        &self,
        user: &User,
        password: &SecretString,
        network: IpAddr,
    ) -> Result<bool> {
        self.admit_password(&user.email, network)?;
        Ok(self.hasher.verify(password, Some(&user.password)).await?)
    }

    /// Changes what a person chose, and the rules that follow from it.
    pub(crate) async fn change_choices(&self, id: UserId, change: impl Fn(&mut User)) -> Result<User> {
        let changed = self.change(id, change).await?;
        rules::synchronise(&*self.store, &changed).await?;
        Ok(changed)
    }

    /// Changes a user, again where another process changed it meanwhile. Returns the user as it is stored.
    async fn change(&self, id: UserId, change: impl Fn(&mut User)) -> Result<User> {
        for _ in 0..CHANGE_ATTEMPTS {
            let Some(mut user) = self.store.user(id).await? else { break };
            change(&mut user);
            if self.store.change_user(&user).await? {
                user.revision += 1;
                return Ok(user);
            }
        }
        Err(AccountError::Conflict)
    }

    /// Removes a user with everything that belongs to it.
    pub(crate) async fn remove(&self, user: &User) -> Result<()> {
        remove_account(&*self.store, user.id).await?;
        tracing::info!("an account was removed by its owner");
        Ok(())
    }

    fn admit_password(&self, email: &EmailAddress, network: IpAddr) -> Result<()> {
        let now = Instant::now();
        self.limits.passwords_of_network.admit(&network, now)?;
        Ok(self.limits.passwords_of_account.admit(&email.key(), now)?)
    }

    fn admit_mail(&self, email: &EmailAddress, network: IpAddr) -> Result<()> {
        let now = Instant::now();
        self.limits.mails_of_network.admit(&network, now)?;
        Ok(self.limits.mails_of_account.admit(&email.key(), now)?)
    }

    fn request_mail(&self, request: MailRequest) -> Result<()> {
        self.mail_requests.try_send(request).map_err(|_| AccountError::Busy)
    }
}
