//! One price, as a venue quoted it and as it was received.

use std::{fmt, ops::Deref, str::FromStr};

use arrayvec::ArrayString;
use chrono::{DateTime, Datelike, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{AssetClass, Symbol, decimal::round_significant};

/// Where a price comes from: `binance`, `yahoo`, `simulated`. One to 24 characters of `a-z 0-9 _ -`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(ArrayString<24>);

/// A text that is no source name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no source name (1 to 24 of a-z, 0-9, _ and -)")]
pub struct SourceError(String);

impl Source {
    /// Parses a name.
    ///
    /// # Errors
    /// [`SourceError`] with the offending text.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        match ArrayString::from(text) {
            Ok(name) if !text.is_empty() && text.bytes().all(allowed) => Ok(Self(name)),
            _ => Err(SourceError(text.chars().take(40).flat_map(char::escape_debug).collect())),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Prices of this source are invented, and are marked SIMULATED wherever they appear.
    pub fn is_simulated(&self) -> bool {
        self.as_str() == "simulated"
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.0)
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// A tick's fields, open for filling in; [`Tick::new`] checks them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TickFields {
    /// What was traded.
    pub symbol: Symbol,
    /// When it happened, by the venue's clock; microseconds.
    pub timestamp: DateTime<Utc>,
    /// Last price, in the quote currency; positive.
    pub price: Decimal,
    /// Cumulative volume of the session as quoted, in shares; crypto: rolling 24 h, in the base currency. 0 where the venue quotes
    /// none: then the volume of candles is unknown.
    pub volume: Decimal,
    /// The session's (crypto: the last 24 h's) opening price.
    pub open: Decimal,
    /// The session's highest price so far.
    pub high: Decimal,
    /// The session's lowest price so far.
    pub low: Decimal,
    /// Quantity of this very trade, in shares or base currency; `None` where the venue does not quote it.
    pub size: Option<Decimal>,
    /// Change against the previous close (crypto: against 24 h ago), in percent.
    pub change_percent: f64,
    /// The feed it comes from.
    pub source: Source,
    /// When it was received; microseconds.
    pub received_at: DateTime<Utc>,
    /// With `source` and `symbol` the tick's identity for ever: the venue's trade id, else the receive time in
    /// microseconds, strictly increasing per symbol.
    pub seq: u64,
}

/// A checked tick: positive prices, low not above high, volume and size not negative, finite change, times in the years 0 to
/// 9999, so that no calculation with them leaves the range of dates.
#[derive(Clone, Copy, PartialEq)]
pub struct Tick(TickFields);

/// Why fields make no tick. Each names its field.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TickError {
    /// `price`, `open`, `high` or `low` is zero or less.
    #[error("{field} must be above zero, not {value}")]
    NotPositive {
        /// The field's wire name.
        field: &'static str,
        /// Its value.
        value: Decimal,
    },
    /// `volume` or `size` is below zero.
    #[error("{field} must not be negative, not {value}")]
    Negative {
        /// The field's wire name.
        field: &'static str,
        /// Its value.
        value: Decimal,
    },
    /// The low of the day's range is above its high.
    #[error("low {low} is above high {high}")]
    LowAboveHigh {
        /// The low.
        low: Decimal,
        /// The high.
        high: Decimal,
    },
    /// NaN or infinite.
    #[error("change_percent is not a finite number")]
    ChangeNotFinite,
    /// A time before the year 0 or after 9999.
    #[error("{field} is not within the years 0 to 9999")]
    TimeOutOfRange {
        /// The field's wire name.
        field: &'static str,
    },
}

impl Tick {
    /// Checks the fields, and rounds the decimals to [`crate::MAX_SIGNIFICANT_DIGITS`].
    ///
    /// # Errors
    /// [`TickError`], naming the first field that is wrong.
    pub fn new(mut fields: TickFields) -> Result<Self, TickError> {
        let TickFields { price, volume, open, high, low, size, .. } = &mut fields;
        for decimal in [price, volume, open, high, low].into_iter().chain(size) {
            *decimal = round_significant(*decimal);
        }
        let prices =
            [("price", fields.price), ("open", fields.open), ("high", fields.high), ("low", fields.low)];
        for (field, value) in prices {
            if value <= Decimal::ZERO {
                return Err(TickError::NotPositive { field, value });
            }
        }
        for (field, value) in [("volume", Some(fields.volume)), ("size", fields.size)] {
            if let Some(value) = value.filter(|value| *value < Decimal::ZERO) {
                return Err(TickError::Negative { field, value });
            }
        }
        if fields.low > fields.high {
            return Err(TickError::LowAboveHigh { low: fields.low, high: fields.high });
        }
        if !fields.change_percent.is_finite() {
            return Err(TickError::ChangeNotFinite);
        }
        for (field, time) in [("timestamp", fields.timestamp), ("received_at", fields.received_at)] {
            if !(0..=9999).contains(&time.year()) {
                return Err(TickError::TimeOutOfRange { field });
            }
        }
        Ok(Self(fields))
    }

    /// The fields, to change and check again.
    pub fn into_fields(self) -> TickFields {
        self.0
    }

    /// `source:symbol:seq`.
    pub fn id(&self) -> String {
        format!("{}:{}:{}", self.source, self.symbol, self.seq)
    }

    /// Which market it belongs to.
    pub fn asset_class(&self) -> AssetClass {
        self.symbol.asset_class()
    }

    /// Distance from the session's open: `(price - open) / open * 100`, in percent.
    pub fn price_change_pct(&self) -> f64 {
        let open = crate::decimal_to_f64(self.open);
        (crate::decimal_to_f64(self.price) - open) / open * 100.0
    }
}

impl Deref for Tick {
    type Target = TickFields;

    fn deref(&self) -> &TickFields {
        &self.0
    }
}

impl fmt::Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
