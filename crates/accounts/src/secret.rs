//! Random secrets, which only their owner has, and their hashes, which the store has.

use std::{
    fmt::{self, Write},
    str::FromStr,
};

use sha2::{Digest, Sha256};

/// Bytes of a secret and of a hash.
const BYTES: usize = 32;

/// 256 random bits in a cookie or a link. As text 64 hexadecimal digits in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; BYTES]);

impl Secret {
    /// A new one, from the random numbers of the operating system through a cryptographic generator.
    pub fn generate() -> Self {
        Self(rand::random())
    }

    /// For its owner only.
    pub fn expose(&self) -> String {
        hexadecimal(&self.0)
    }

    /// What the store keeps. As a secret is random, its plain SHA-256 cannot be inverted by guessing.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.0).into())
    }

    /// Another secret that follows from this one for a purpose. It reveals nothing of this one.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        // The secret is of fixed length, and first: no two pairs are one text.
        Self(Sha256::new().chain_update(self.0).chain_update(purpose).finalize().into())
    }

    /// Whether both are equal, in a time that does not depend on where they differ.
    pub fn matches(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }
}

impl FromStr for Secret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        bytes(text).map(Self).ok_or(NotASecret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The SHA-256 hash of a secret. As text 64 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretHash([u8; BYTES]);

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hexadecimal(&self.0))
    }
}

/// Eight digits: enough to distinguish them.
impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretHash({}..)", hexadecimal(&self.0[..4]))
    }
}

impl FromStr for SecretHash {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        bytes(text).map(Self).ok_or(NotASecret)
    }
}

/// The text is no secret and no hash of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits in lower case")]
pub struct NotASecret;

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn bytes(text: &str) -> Option<[u8; BYTES]> {
    let digits: &[u8; 2 * BYTES] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_was_written_and_is_not_in_debug_output() {
        let secret = Secret::generate();
        assert_eq!(secret.expose().parse(), Ok(secret.clone()));
        assert_eq!(secret.hash().to_string().parse(), Ok(secret.hash()));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        assert!(!Secret::generate().matches(&secret));
        assert!(secret.matches(&secret.clone()));
    }

    #[test]
    fn what_is_derived_depends_on_the_secret_and_the_purpose() {
        let (one, other) = (Secret::generate(), Secret::generate());
        let derived = [one.derive("a"), one.derive("b"), other.derive("a"), one.clone()];
        for (index, secret) in derived.iter().enumerate() {
            assert!(derived[..index].iter().all(|earlier| !earlier.matches(secret)));
        }
        assert!(one.derive("a").matches(&derived[0]));
    }

    #[test]
    fn other_texts_are_refused() {
        let (short, capital) = ("a".repeat(63), "A".repeat(64));
        for text in ["", &short, &capital, &"é".repeat(32), &"g".repeat(64)] {
            assert_eq!(text.parse::<Secret>(), Err(NotASecret), "{text}");
        }
    }
}
