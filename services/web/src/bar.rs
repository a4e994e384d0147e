//! A candle as the JSON interface and the events say it.

use chrono::{DateTime, Utc};
use market::{Candle, CandleSource, Interval, Symbol, decimal_to_f64};
use serde::Serialize;

/// One bar.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Bar {
    /// Open time, inclusive.
    pub(crate) time: DateTime<Utc>,
    pub(crate) open: f64,
    pub(crate) high: f64,
    pub(crate) low: f64,
    pub(crate) close: f64,
    /// Of the interval; null where it is unknown.
    pub(crate) volume: Option<f64>,
    pub(crate) ticks: u64,
    pub(crate) source: CandleSource,
    /// Closed: it will not change any more.
    #[serde(rename = "final")]
    pub(crate) is_final: bool,
}

impl From<&Candle> for Bar {
    fn from(candle: &Candle) -> Self {
        Self {
            time: candle.time,
            open: decimal_to_f64(candle.open),
            high: decimal_to_f64(candle.high),
            low: decimal_to_f64(candle.low),
            close: decimal_to_f64(candle.close),
            volume: candle.volume.map(decimal_to_f64),
            ticks: candle.ticks,
            source: candle.source,
            is_final: candle.is_final,
        }
    }
}

/// A bar with whose it is, for an event.
#[derive(Debug, Serialize)]
pub(crate) struct SymbolBar {
    symbol: Symbol,
    interval: Interval,
    #[serde(flatten)]
    bar: Bar,
}

impl From<&Candle> for SymbolBar {
    fn from(candle: &Candle) -> Self {
        Self { symbol: candle.symbol, interval: candle.interval, bar: Bar::from(candle) }
    }
}
