//! One module per topic of the event log: its name, key, encoding, and every reason to refuse a record. No I/O.

pub mod alert;
pub mod candle;
pub mod names;
pub mod quoted_candle;
pub mod status;
pub mod tick;

use std::{borrow::Cow, iter, time::Duration};

/// Clocks of two hosts that differ by more are reported, in seconds.
pub const MAX_SKEW_SECONDS: i64 = 30;

const DAY: Duration = Duration::from_hours(24);
/// How long a record that cannot be read is kept.
const DEAD_LETTER_RETENTION: Duration = DAY.saturating_mul(30);

/// A topic as every service creates it when it is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDefinition {
    /// Its name.
    pub name: Cow<'static, str>,
    /// How many partitions.
    pub partitions: i32,
    /// How long records are kept.
    pub retention: Duration,
    /// Records that cannot be read from it are kept in a topic of dead letters.
    pub has_dead_letters: bool,
}

/// Each topic once; the topics of dead letters follow from them ([`all_with_dead_letters`]).
pub const ALL: [TopicDefinition; 6] = [
    topic(tick::STOCK_PRICES, 3, 7, true),
    topic(tick::CRYPTO_PRICES, 3, 7, true),
    topic(candle::TOPIC, 3, 7, true),
    topic(quoted_candle::TOPIC, 3, 7, true),
    topic(alert::TOPIC, 3, 30, true),
    topic(status::TOPIC, 1, 1, false),
];

const fn topic(name: &'static str, partitions: i32, days: u32, has_dead_letters: bool) -> TopicDefinition {
    TopicDefinition {
        name: Cow::Borrowed(name),
        partitions,
        retention: DAY.saturating_mul(days),
        has_dead_letters,
    }
}

impl TopicDefinition {
    /// Its topic of dead letters: as many partitions, the name with `.dlq` behind it.
    pub fn dead_letters(&self) -> Option<Self> {
        self.has_dead_letters.then(|| Self {
            name: format!("{}.dlq", self.name).into(),
            partitions: self.partitions,
            retention: DEAD_LETTER_RETENTION,
            has_dead_letters: false,
        })
    }
}

/// Every topic to be created: those of [`ALL`], each followed by its topic of dead letters.
pub fn all_with_dead_letters() -> impl Iterator<Item = TopicDefinition> {
    ALL.into_iter().flat_map(|topic| {
        let dead_letters = topic.dead_letters();
        iter::once(topic).chain(dead_letters)
    })
}
