//! A candle in the JSON interface and in events.

use chrono::{DateTime, Utc};
use market::{Candle, CandleSource, Interval, Symbol, decimal_to_f64};
use serde::Serialize;

/// One candle; prices in the quote currency.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct CandleJson {
    /// Open time, inclusive.
    pub(crate) time: DateTime<Utc>,
    pub(crate) open: f64,
    pub(crate) high: f64,
    pub(crate) low: f64,
    pub(crate) close: f64,
    /// Traded within the interval, in shares or the base currency; null where it is unknown.
    pub(crate) volume: Option<f64>,
    pub(crate) ticks: u64,
    pub(crate) source: CandleSource,
    /// Closed: it does not change any more.
    #[serde(rename = "final")]
    pub(crate) is_final: bool,
}

impl From<&Candle> for CandleJson {
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

/// A candle with its symbol and interval, for an event.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct SymbolCandle {
    symbol: Symbol,
    interval: Interval,
    #[serde(flatten)]
    candle: CandleJson,
}

impl From<&Candle> for SymbolCandle {
    fn from(candle: &Candle) -> Self {
        Self { symbol: candle.symbol, interval: candle.interval, candle: CandleJson::from(candle) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_volume_is_null_and_not_zero() {
        let candle = CandleJson {
            time: "2026-01-13T15:30:00Z".parse().expect("a time"),
            open: 1.0,
            high: 2.0,
            low: 0.5,
            close: 1.5,
            volume: None,
            ticks: 3,
            source: "binance/ticks".parse().expect("a source"),
            is_final: true,
        };
        let symbol = Symbol::parse("BTC/USDT").expect("a symbol");
        let candle = SymbolCandle { symbol, interval: Interval::Minute, candle };
        insta::assert_snapshot!(serde_json::to_string(&candle).expect("JSON"), @r#"{"symbol":"BTC/USDT","interval":"1m","time":"2026-01-13T15:30:00Z","open":1.0,"high":2.0,"low":0.5,"close":1.5,"volume":null,"ticks":3,"source":"binance/ticks","final":true}"#);
    }
}
