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

    /// As of `now`, of a symbol whose tick was seen at a time (see [`LatestTick::seen_at`]).
    fn of(class: AssetClass, seen_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Self {
        let is_recent = |seen_at: DateTime<Utc>| {
            !is_ahead(seen_at, now) && now - seen_at <= TimeDelta::seconds(STALE_AFTER_SECONDS)
        };
        if seen_at.is_some_and(is_recent) {
            Self::Live
        } else if market::is_open(class, now) {
            Self::Stale
        } else {
            Self::Closed
        }
    }
}

/// Whether a time cannot have been reached by `now`: the clock that gave it, or this host's, was changed or is wrong.
pub(crate) fn is_ahead(time: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    time > now + TimeDelta::seconds(topics::MAX_SKEW_SECONDS)
}

/// The tick that is shown of a symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LatestTick {
    pub(crate) tick: Tick,
    /// When it was received, by this host's clock at that time; `None` for a stored tick that was received at a time that is
    /// ahead of this host's clock.
    seen_at: Option<DateTime<Utc>>,
}

impl LatestTick {
    /// A tick that arrives at `now`.
    pub(crate) fn arriving(tick: Tick, now: DateTime<Utc>) -> Self {
        Self { tick, seen_at: Some(tick.received_at.min(now)) }
    }

    /// A tick that was stored before `now`.
    pub(crate) fn stored(tick: Tick, now: DateTime<Utc>) -> Self {
        Self { tick, seen_at: Some(tick.received_at).filter(|at| !is_ahead(*at, now)) }
    }

    /// Whether `newer`, which arrived later, replaces this one. A tick that happened earlier does not while this one is recent:
    /// a recording that is replayed beside a live feed does not replace its prices. It does where this one is ahead of the
    /// clock, as after the correction of a clock that was fast.
    pub(crate) fn gives_way_to(&self, newer: &Self, now: DateTime<Utc>) -> bool {
        newer.tick.timestamp >= self.tick.timestamp
            || is_ahead(self.tick.timestamp, now)
            || self.freshness(now) != Freshness::Live
    }

    /// As of `now`.
    pub(crate) fn freshness(&self, now: DateTime<Utc>) -> Freshness {
        Freshness::of(self.tick.asset_class(), self.seen_at, now)
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
    /// Since `received_at`, in milliseconds; negative where that is ahead of this host's clock.
    pub(crate) age_ms: i64,
    pub(crate) state: Freshness,
    pub(crate) stale: bool,
}

impl Quote {
    /// As of `now`.
    pub(crate) fn new(latest: &LatestTick, relative_volume: Option<f64>, now: DateTime<Utc>) -> Self {
        let (tick, state) = (&latest.tick, latest.freshness(now));
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
            age_ms: (now - tick.received_at).num_milliseconds(),
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
