//! A candle: open, high, low, close and volume of one interval.

use std::{fmt, ops::Deref, str::FromStr};

use chrono::{DateTime, Datelike, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Interval, Source, SourceError, Symbol, decimal::round_significant};

/// Where a candle comes from. Written `binance` for the provider's own candle and `binance/ticks` for one built here from
/// its ticks; where both exist the provider's is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CandleSource {
    /// The feed.
    pub feed: Source,
    /// Quoted by the feed, or built from its ticks.
    pub origin: CandleOrigin,
}

/// Whether a candle was quoted or built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CandleOrigin {
    /// The provider's candle, of all trades of the venue. Ordered first: it is preferred.
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

/// A candle's fields, open for filling in; [`Candle::new`] checks them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CandleFields {
    /// What was traded.
    pub symbol: Symbol,
    /// Its width.
    pub interval: Interval,
    /// Open time, inclusive, UTC; of a daily candle the trading date at 00:00 UTC.
    pub time: DateTime<Utc>,
    /// First price, in the quote currency; positive.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub close: Decimal,
    /// Volume of the interval, in shares or base currency; `None` where it is unknown.
    pub volume: Option<Decimal>,
    /// How many ticks (a provider's candle: trades, 0 where the provider does not count them) it summarises.
    pub ticks: u64,
    /// The feed, and whether it quoted the candle.
    pub source: CandleSource,
    /// Closed: it will not change any more.
    pub is_final: bool,
}

/// A checked candle: positive prices, low and high that enclose open and close, a volume that is not negative, a time in the
/// years 0 to 9999. Identity: `source:symbol:interval:time`.
#[derive(Clone, Copy, PartialEq)]
pub struct Candle(pub(crate) CandleFields);

/// Why fields make no candle. Each names its field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCandle {
    /// `open`, `high`, `low` or `close` is zero or less.
    #[error("{field} must be above zero, not {value}")]
    NotPositive {
        /// The field's wire name.
        field: &'static str,
        /// Its value.
        value: Decimal,
    },
    /// Open or close is below low or above high.
    #[error("low {low} and high {high} do not enclose {field} {value}")]
    NotEnclosed {
        /// `open` or `close`.
        field: &'static str,
        /// Its value.
        value: Decimal,
        /// The low.
        low: Decimal,
        /// The high.
        high: Decimal,
    },
    /// A volume below zero.
    #[error("volume must not be negative, not {0}")]
    NegativeVolume(Decimal),
    /// A time before the year 0 or after 9999.
    #[error("time is not within the years 0 to 9999")]
    TimeOutOfRange,
}

impl Candle {
    /// Checks the fields, and rounds the decimals to [`crate::MAX_SIGNIFICANT_DIGITS`].
    ///
    /// # Errors
    /// [`InvalidCandle`], naming the first field that is wrong.
    pub fn new(mut fields: CandleFields) -> Result<Self, InvalidCandle> {
        let CandleFields { open, high, low, close, volume, .. } = &mut fields;
        for decimal in [open, high, low, close].into_iter().chain(volume) {
            *decimal = round_significant(*decimal);
        }
        let CandleFields { open, high, low, close, volume, .. } = fields;
        for (field, value) in [("open", open), ("high", high), ("low", low), ("close", close)] {
            if value <= Decimal::ZERO {
                return Err(InvalidCandle::NotPositive { field, value });
            }
        }
        for (field, value) in [("open", open), ("close", close)] {
            if value < low || value > high {
                return Err(InvalidCandle::NotEnclosed { field, value, low, high });
            }
        }
        if let Some(volume) = volume.filter(|volume| *volume < Decimal::ZERO) {
            return Err(InvalidCandle::NegativeVolume(volume));
        }
        if !(0..=9999).contains(&fields.time.year()) {
            return Err(InvalidCandle::TimeOutOfRange);
        }
        Ok(Self(fields))
    }

    /// The fields, to change and check again.
    pub fn into_fields(self) -> CandleFields {
        self.0
    }

    /// The same candle under another source.
    #[must_use]
    pub fn under(self, source: CandleSource) -> Self {
        Self(CandleFields { source, ..self.0 })
    }

    /// The same candle, not final.
    #[must_use]
    pub fn in_progress(self) -> Self {
        Self(CandleFields { is_final: false, ..self.0 })
    }

    /// `source:symbol:interval:open time in seconds`.
    pub fn id(&self) -> String {
        format!("{}:{}:{}:{}", self.source, self.symbol, self.interval, self.time.timestamp())
    }
}

impl Deref for Candle {
    type Target = CandleFields;

    fn deref(&self) -> &CandleFields {
        &self.0
    }
}

impl fmt::Debug for Candle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
