//! Values in a line of JSON.

use std::fmt::Display;

use chrono::{DateTime, SecondsFormat, Utc};
use market::parse_decimal;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

/// The number types of JSON libraries are doubles, and not every one reads them to the last digit.
pub(crate) fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    exact(<&RawValue>::deserialize(deserializer)?)
}

/// [`decimal`] that may be null.
pub(crate) fn optional_decimal<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Decimal>, D::Error> {
    Option::<&RawValue>::deserialize(deserializer)?.map(exact).transpose()
}

fn exact<E: de::Error>(raw: &RawValue) -> Result<Decimal, E> {
    let raw = raw.get();
    parse_decimal(raw).map_err(|error| de::Error::custom(format!("{raw:.40} {error}")))
}

/// As [`decimal`].
pub(crate) fn double<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    raw.parse().map_err(|_| de::Error::custom(format!("{raw:.40} is not a number")))
}

/// Stores hold microseconds.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    let time = DateTime::<Utc>::deserialize(deserializer)?;
    DateTime::from_timestamp_micros(time.timestamp_micros())
        .ok_or_else(|| de::Error::custom(format!("{time} is out of range")))
}

/// [`time`] that may be missing.
pub(crate) fn optional_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DateTime<Utc>>, D::Error> {
    #[derive(Deserialize)]
    struct Time(#[serde(deserialize_with = "time")] DateTime<Utc>);
    Ok(Option::<Time>::deserialize(deserializer)?.map(|Time(time)| time))
}

/// A time as it is written.
pub(crate) fn written(time: DateTime<Utc>) -> impl Display {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
