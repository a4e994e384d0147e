//! The latest price of a symbol, as pages, JSON and events show it.

use chrono::{DateTime, TimeDelta, Utc};
use market::{AssetClass, Source, Symbol, Tick, decimal_to_f64};
use serde::Serialize;

/// While its market is open, a price without a newer tick for so long is stale.
pub(crate) const STALE_AFTER_SECONDS: i64 = 60;

/// Whether a price is current.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Freshness {
    /// A tick was received within [`STALE_AFTER_SECONDS`].
    Live,
    /// None was, although the market is open.
    Stale,
    /// None was, and the market is closed.
    Closed,
}

impl Freshness {
    /// `live`, `stale` or `closed`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Stale => "stale",
            Self::Closed => "closed",
        }
    }

    /// As of `now`.
    pub(crate) fn of(tick: &Tick, now: DateTime<Utc>) -> Self {
        if now - tick.received_at <= TimeDelta::seconds(STALE_AFTER_SECONDS) {
            Self::Live
        } else if market::is_open(tick.asset_class(), now) {
            Self::Stale
        } else {
            Self::Closed
        }
    }
}

/// A quote; prices in the quote currency.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Quote {
    pub(crate) symbol: Symbol,
    /// `stock` or `crypto`.
    pub(crate) asset_class: &'static str,
    pub(crate) price: f64,
    /// Against the previous close (crypto: 24 hours ago), in percent.
    pub(crate) change_percent: f64,
    /// Against the session's open, in percent.
    pub(crate) price_change_pct: f64,
    pub(crate) open: f64,
    pub(crate) high: f64,
    pub(crate) low: f64,
    /// Cumulative volume of the session; crypto: of the last 24 hours, in the base currency.
    pub(crate) volume: f64,
    /// Volume of the last five minutes over the mean of five minutes of the day; null while either is unknown.
    pub(crate) relative_volume: Option<f64>,
    pub(crate) source: Source,
    pub(crate) simulated: bool,
    pub(crate) timestamp: DateTime<Utc>,
    pub(crate) received_at: DateTime<Utc>,
    /// Since `received_at`, in milliseconds.
    pub(crate) age_ms: i64,
    pub(crate) state: Freshness,
    pub(crate) stale: bool,
}

impl Quote {
    /// As of `now`.
    pub(crate) fn new(tick: &Tick, relative_volume: Option<f64>, now: DateTime<Utc>) -> Self {
        let state = Freshness::of(tick, now);
        Self {
            symbol: tick.symbol,
            asset_class: class_name(tick.asset_class()),
            price: decimal_to_f64(tick.price),
            change_percent: tick.change_percent,
            price_change_pct: tick.price_change_pct(),
            open: decimal_to_f64(tick.open),
            high: decimal_to_f64(tick.high),
            low: decimal_to_f64(tick.low),
            volume: decimal_to_f64(tick.volume),
            relative_volume,
            source: tick.source,
            simulated: tick.source.is_simulated(),
            timestamp: tick.timestamp,
            received_at: tick.received_at,
            age_ms: (now - tick.received_at).num_milliseconds().max(0),
            state,
            stale: state == Freshness::Stale,
        }
    }
}

/// `stock` or `crypto`.
pub(crate) fn class_name(class: AssetClass) -> &'static str {
    match class {
        AssetClass::Stock => "stock",
        AssetClass::Crypto => "crypto",
    }
}
