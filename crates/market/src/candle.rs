//! A bar: open, high, low, close and volume of one interval.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Interval, Source, SourceError, Symbol};

/// Who made a bar. Written `binance` for the provider's own bar and `binance/ticks` for one built here from its
/// ticks; where both exist the provider's is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CandleSource {
    /// The feed.
    pub feed: Source,
    /// By the feed itself, or from its ticks.
    pub origin: CandleOrigin,
}

/// Whether a bar was quoted or built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CandleOrigin {
    /// The provider's bar: complete by its own account. Ordered first: it wins.
    Provider,
    /// Built here from the ticks that arrived.
    Ticks,
}

impl fmt::Display for CandleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.origin {
            CandleOrigin::Provider => write!(f, "{}", self.feed),
            CandleOrigin::Ticks => write!(f, "{}/ticks", self.feed),
        }
    }
}

impl FromStr for CandleSource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (feed, origin) = match text.strip_suffix("/ticks") {
            Some(feed) => (feed, CandleOrigin::Ticks),
            None => (text, CandleOrigin::Provider),
        };
        Ok(Self { feed: Source::parse(feed)?, origin })
    }
}

impl Serialize for CandleSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CandleSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// One bar. Identity: `source:symbol:interval:time`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candle {
    /// What was traded.
    pub symbol: Symbol,
    /// Its width.
    pub interval: Interval,
    /// Open time, inclusive, UTC; of a daily bar the trading date at 00:00 UTC.
    pub time: DateTime<Utc>,
    /// First price.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub close: Decimal,
    /// Volume of the interval, in shares or base currency.
    pub volume: Decimal,
    /// How many ticks (provider bars: trades, 0 where not said) it summarises.
    pub ticks: u64,
    /// Who made it.
    pub source: CandleSource,
    /// Closed: it will not change any more.
    pub is_final: bool,
}

impl Candle {
    /// `source:symbol:interval:open time in seconds`.
    pub fn id(&self) -> String {
        format!("{}:{}:{}:{}", self.source, self.symbol, self.interval, self.time.timestamp())
    }
}
