//! A day of the suite, for tests of the whole: a person registers, a move is mailed, the night is computed, and the digest has all of
//! it. It is played on the embedded default (`services/tapedeck/tests/it/day.rs`) and on servers (fault 20 of `tests/chaos`).
//!
//! The closes are those that AAPL had up to 2022-05-05, with SMA 20 and RSI 14 of TA-Lib. They are played as days of a pair, which
//! trades on every day, so that a test does not depend on the weekday.

mod feed;
mod mails;
mod person;
mod recording;

pub use feed::{HEADLINE, feed};
pub use mails::{DIGEST, MOVE, mail_problems, to_address, with_subject};
pub use person::{Browser, later_hour};
pub use recording::{DAYS, Recordings, Reference, TICKS, row_problems};

/// The address of the person.
pub const PERSON: &str = "jane@example.com";
/// The address of the house.
pub const HOUSE: &str = "house@example.com";
/// The symbol that is played.
pub const SYMBOL: &str = "BTC/USDT";
