//! Accounts of people: what a user, a password, a session and a token are, and their rules.
//!
//! Nothing that opens an account is kept in plain text: a password is kept as its argon2id hash, and of the secret in a
//! session's cookie or in a link of a mail only the SHA-256 hash. Both are shown to their owner only, and neither
//! appears in debug output. The live store keeps the values of this crate (`users`, `sessions`, `tokens`).

mod hasher;
mod password;
mod secret;
mod session;
mod token;
mod unsubscribe;
mod user;
mod user_id;

pub use hasher::{HashError, PasswordHasher};
pub use password::{Password, PasswordError, PasswordHash};
pub use secret::{Secret, SecretHash};
pub use session::Session;
pub use token::{OneTimeToken, TokenPurpose};
pub use unsubscribe::{MailKind, UnsubscribeToken};
pub use user::{
    Digest, DigestHour, FieldError, MAX_WATCHED_SYMBOLS, Threshold, User, parse_time_zone, parse_watch_list,
};
pub use user_id::UserId;
