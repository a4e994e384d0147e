//! One module per topic of the event log: its name, key, encoding, and every reason to refuse a record. No I/O.

pub mod candle;
pub mod names;
pub mod status;
pub mod tick;

use std::time::Duration;

/// Clocks of two hosts that are further apart are worth a word, in seconds.
pub const MAX_SKEW_SECONDS: i64 = 30;

const DAY: Duration = Duration::from_hours(24);

/// A topic as every service creates it when it is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: &'static str,
    /// How many partitions.
    pub partitions: i32,
    /// How long records are kept.
    pub retention: Duration,
}

const fn topic(name: &'static str, partitions: i32, days: u32) -> Topic {
    Topic { name, partitions, retention: DAY.saturating_mul(days) }
}

/// All topics; `.dlq` holds what could not be read from the topic of that name.
pub const ALL: [Topic; 7] = [
    topic(tick::STOCK_PRICES, 3, 7),
    topic("stock-prices.dlq", 3, 30),
    topic(tick::CRYPTO_PRICES, 3, 7),
    topic("crypto-prices.dlq", 3, 30),
    topic(candle::TOPIC, 3, 7),
    topic("candles.dlq", 3, 30),
    topic(status::TOPIC, 1, 1),
];
