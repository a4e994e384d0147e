//! Passwords, as people choose them, and their hashes.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use unicode_normalization::UnicodeNormalization;

/// Fewest characters of a password that is chosen.
pub(crate) const MIN_CHARACTERS: usize = 10;
/// Most characters of a password that is chosen, and most that are hashed of one that is tried.
pub(crate) const MAX_CHARACTERS: usize = 200;
/// Fewest different characters of a password that is chosen.
const MIN_DIFFERENT_CHARACTERS: usize = 5;
/// What the most frequent passwords of this length are made of, in lower case without digits at their end.
const FREQUENT: [&str; 12] = [
    "password",
    "passwort",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "letmein",
    "iloveyou",
    "administrator",
    "welcome",
    "changeme",
    "tapedeck",
    "qwerty",
];

/// A password that fulfils the rules for new ones: 10 to 200 characters, not the address, not one of the most frequent.
/// Everything else is left to the person (NIST SP 800-63B, 3.1.1.2: no rules on which kinds of characters).
#[derive(Clone, Debug)]
pub struct Password(SecretString);

/// Why a password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Fewer than 10 characters.
    #[error("the password is too short: use at least {MIN_CHARACTERS} characters")]
    TooShort,
    /// More than 200 characters.
    #[error("the password is too long: use at most {MAX_CHARACTERS} characters")]
    TooLong,
    /// A line break or another control character, which not every form and keyboard can enter again.
    #[error("the password has a control character, such as a line break: leave it out")]
    ControlCharacter,
    /// Few different characters, or one of the most frequent passwords.
    #[error("the password is easy to guess: use several words, or let a password manager generate it")]
    Guessable,
    /// It contains the address of the account.
    #[error("the password contains your address: choose another")]
    ContainsAddress,
}

impl Password {
    /// Checks a new password for the account of an address.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn choose(text: &SecretString, address: &str) -> Result<Self, PasswordError> {
        let normal = normalised(text);
        let chosen = normal.expose_secret();
        match chosen.chars().count() {
            ..MIN_CHARACTERS => return Err(PasswordError::TooShort),
            MIN_CHARACTERS..=MAX_CHARACTERS => {}
            _ => return Err(PasswordError::TooLong),
        }
        if chosen.chars().any(char::is_control) {
            return Err(PasswordError::ControlCharacter);
        }
        let lower = chosen.to_lowercase();
        let local_part = address.split('@').next().unwrap_or_default().to_lowercase();
        // A short local part occurs in a password by chance.
        if lower.contains(&address.to_lowercase()) || (local_part.len() > 3 && lower.starts_with(&local_part))
        {
            return Err(PasswordError::ContainsAddress);
        }
        let mut different: Vec<char> = lower.chars().collect();
        different.sort_unstable();
        different.dedup();
        let root = lower.trim_end_matches(|last: char| !last.is_alphabetic());
        let is_sequence =
            "01234567890123456789".contains(&*lower) || "abcdefghijklmnopqrstuvwxyz".contains(&*lower);
        if different.len() < MIN_DIFFERENT_CHARACTERS || is_sequence || FREQUENT.contains(&root) {
            return Err(PasswordError::Guessable);
        }
        Ok(Self(normal))
    }

    pub(crate) fn into_normalised(self) -> SecretString {
        self.0
    }
}

/// The same characters in one form (NFC), whichever keyboard composed them, and at most one more than a password may have, so that the
/// work of hashing is bounded.
pub(crate) fn normalised(text: &SecretString) -> SecretString {
    text.expose_secret().nfc().take(MAX_CHARACTERS + 1).collect::<String>().into()
}

/// The hash of a password, a PHC string: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// A hash as the store has it.
    ///
    /// # Errors
    /// It is none of argon2id.
    pub fn parse(text: &str) -> Result<Self, NotAHash> {
        let is_ours = text.starts_with("$argon2id$") && argon2::PasswordHash::new(text).is_ok();
        if is_ours { Ok(Self(text.to_owned())) } else { Err(NotAHash) }
    }

    /// For the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// The text is no hash of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no hash of argon2id in PHC form")]
pub struct NotAHash;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn choose(text: &str) -> Result<Password, PasswordError> {
        Password::choose(&text.into(), "Jane.Doe@example.com")
    }

    #[rstest]
    #[case("short", PasswordError::TooShort)]
    #[case("aaaaaaaaaaaaaa", PasswordError::Guessable)]
    #[case("Password123456", PasswordError::Guessable)]
    #[case("Passwort2026!!", PasswordError::Guessable)]
    #[case("1234567890", PasswordError::Guessable)]
    #[case("jane.doe2026", PasswordError::ContainsAddress)]
    #[case("my jane.doe@example.com", PasswordError::ContainsAddress)]
    #[case("line\nbreak in it", PasswordError::ControlCharacter)]
    fn passwords_that_are_guessed_first_are_refused(#[case] text: &str, #[case] expected: PasswordError) {
        assert_eq!(choose(text).err(), Some(expected));
    }

    #[test]
    fn characters_of_every_script_are_accepted_up_to_the_limit() {
        for text in ["correct horse battery", "пароль длинный", "🐎🔋📎🎷🪗🎺🥁🎻🎸🎹", "  spaces count  "]
        {
            assert!(choose(text).is_ok(), "{text}");
        }
        let long = "abcdefghij".repeat(20);
        assert!(choose(&long).is_ok());
        assert_eq!(choose(&format!("{long}k")).err(), Some(PasswordError::TooLong));
        assert_eq!(choose(&"x1y2z".repeat(200_000)).err(), Some(PasswordError::TooLong));
    }

    #[test]
    fn two_ways_to_type_a_character_are_one_password() {
        let [composed, combined] = ["caf\u{e9} au lait", "cafe\u{301} au lait"]
            .map(|text| choose(text).expect("accepted").into_normalised().expose_secret().to_owned());
        assert_eq!(composed, combined);
    }

    #[test]
    fn neither_password_nor_hash_is_in_debug_output() {
        let password = choose("correct horse battery").expect("accepted");
        assert!(!format!("{password:?}").contains("horse"));
        let text = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$8lbY4AwWqYHWHQh4TJIpJ4Zc0vD5xJ3fOhE5pVJ8NDk";
        assert_eq!(format!("{:?}", PasswordHash::parse(text).expect("a hash")), "PasswordHash(..)");
        for other in ["", "geheim", "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$8lbY", "$2b$10$abc"] {
            assert!(PasswordHash::parse(other).is_err(), "{other}");
        }
    }
}
