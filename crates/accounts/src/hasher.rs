//! Hashing and verifying passwords, within bounds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::password::{Password, PasswordHash, normalised};

/// Parameters of argon2id (OWASP Password Storage Cheat Sheet): 19 MiB of memory, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Most passwords that are hashed at a time, each on a core and in 19 MiB: two of four cores, and at least one.
const MAX_PARALLEL: usize = 4;
/// Longest time that a password waits for its turn.
const MAX_WAIT_MS: u64 = 5_000;
/// A hash of the same parameters that no password is known of: what a password is verified against where there is no account.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes passwords with argon2id on threads for blocking work, a few at a time.
#[derive(Clone, Debug)]
pub struct PasswordHasher {
    turns: Arc<Semaphore>,
    done: Arc<AtomicU64>,
}

/// Why a password was not hashed or verified.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// More passwords are waiting than can be hashed in time.
    #[error("too many passwords are being checked; try again shortly")]
    Busy,
    /// The algorithm or its thread failed.
    #[error("the password cannot be hashed: {0}")]
    Failed(String),
}

impl Default for PasswordHasher {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { turns: Arc::new(Semaphore::new((cores / 2).clamp(1, MAX_PARALLEL))), done: Arc::default() }
    }
}

impl PasswordHasher {
    /// The hash of a new password, with a random salt.
    ///
    /// # Errors
    /// [`HashError::Busy`], or the algorithm fails.
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        let text = password.into_normalised();
        let hash =
            self.in_turn(move || argon2()?.hash_password(text.expose_secret().as_bytes()).map_err(failed));
        let text = hash.await?.to_string();
        PasswordHash::parse(&text).map_err(|error| HashError::Failed(error.to_string()))
    }

    /// Whether a password is that of a hash. Without a hash, because there is no such account, it is not; the work is the same.
    ///
    /// # Errors
    /// [`HashError::Busy`], or the algorithm fails.
    pub async fn verify(
        &self,
        password: &SecretString,
        hash: Option<&PasswordHash>,
    ) -> Result<bool, HashError> {
        let (text, is_known) = (normalised(password), hash.is_some());
        let hash = hash.map_or(DECOY, PasswordHash::as_str).to_owned();
        let verified = self.in_turn(move || {
            match argon2()?.verify_password(text.expose_secret().as_bytes(), hash.as_str()) {
                Ok(()) => Ok(true),
                Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
                Err(error) => Err(failed(error)),
            }
        });
        Ok(verified.await? && is_known)
    }

    /// How many passwords were hashed or verified so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let _turn = self.turn().await?;
        let done = tokio::task::spawn_blocking(work).await;
        self.done.fetch_add(1, Ordering::Relaxed);
        done.map_err(|error| HashError::Failed(error.to_string()))?
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, HashError> {
        match tokio::time::timeout(Duration::from_millis(MAX_WAIT_MS), self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(HashError::Busy),
        }
    }
}

fn argon2() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn failed(error: impl std::fmt::Display) -> HashError {
    HashError::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::choose(&text.into(), "jane@example.com").expect("accepted")
    }

    #[tokio::test]
    async fn a_password_is_verified_in_either_normal_form_and_no_other_is() {
        let hasher = PasswordHasher::default();
        let hash = hasher.hash(password("caf\u{e9} au lait")).await.expect("hashed");
        for (text, expected) in [
            ("cafe\u{301} au lait", true),
            ("cafe au lait", false),
            ("", false),
            (&"x".repeat(1 << 20), false),
        ] {
            assert_eq!(hasher.verify(&text.into(), Some(&hash)).await.expect("verified"), expected);
        }
        let again = hasher.hash(password("caf\u{e9} au lait")).await.expect("hashed");
        assert_ne!(again.as_str(), hash.as_str(), "each hash has a salt of its own");
    }

    #[tokio::test]
    async fn without_an_account_the_work_is_that_of_a_wrong_password() {
        let hasher = PasswordHasher::default();
        let hash = hasher.hash(password("correct horse battery")).await.expect("hashed");
        let parameters = |text: &str| text.rsplitn(3, '$').nth(2).map(str::to_owned);
        assert_eq!(parameters(DECOY), parameters(hash.as_str()));
        assert_eq!(DECOY.len(), hash.as_str().len());
        let wrong: SecretString = "wrong horse battery".into();
        for account in [Some(&hash), None] {
            let before = hasher.done();
            assert!(!hasher.verify(&wrong, account).await.expect("verified"));
            assert_eq!(hasher.done(), before + 1);
        }
    }

    #[tokio::test]
    async fn passwords_wait_for_their_turn() {
        let hasher = PasswordHasher { turns: Arc::new(Semaphore::new(1)), done: Arc::default() };
        let wrong: SecretString = "wrong horse battery".into();
        let attempts = (0..4).map(|_| {
            let (hasher, wrong) = (hasher.clone(), wrong.clone());
            tokio::spawn(async move { hasher.verify(&wrong, None).await })
        });
        for attempt in attempts.collect::<Vec<_>>() {
            assert!(!attempt.await.expect("no panic").expect("verified"));
        }
        assert_eq!(hasher.done(), 4);
    }
}
