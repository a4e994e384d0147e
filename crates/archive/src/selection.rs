//! Which rows.

use chrono::{DateTime, Utc};
use live_store::StoredTick;
use market::{Candle, Symbol};
use serde::{Deserialize, Serialize};

use crate::{Kind, Prices, noun::AnyNoun};

/// Which rows of a store or of an archive; by default all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Selection {
    /// Only these symbols; all where empty.
    pub symbols: Vec<Symbol>,
    /// Only these kinds; all where empty.
    pub kinds: Vec<Kind>,
    /// Ticks that happened, and candles that opened, from then on.
    pub from: Option<DateTime<Utc>>,
    /// And before then.
    pub to: Option<DateTime<Utc>>,
    /// Only real or only simulated prices.
    pub prices: Option<Prices>,
}

impl Selection {
    /// Nothing is left out.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Rows that stand for others are right only where all of those are there.
    pub(crate) fn has_noun(&self, noun: &dyn AnyNoun) -> bool {
        if noun.stands_for_others() {
            return self.is_everything();
        }
        self.kinds.is_empty() || self.kinds.contains(&noun.kind())
    }

    pub(crate) fn has_symbol(&self, symbol: Symbol) -> bool {
        self.symbols.is_empty() || self.symbols.contains(&symbol)
    }

    pub(crate) fn has_prices(&self, prices: Prices) -> bool {
        self.prices.is_none_or(|wanted| wanted == prices)
    }

    pub(crate) fn has_tick(&self, row: &StoredTick) -> bool {
        self.has_time(row.tick.timestamp)
            && self.has_symbol(row.tick.symbol)
            && self.has_prices(Prices::of(row.tick.source))
    }

    pub(crate) fn has_candle(&self, candle: &Candle) -> bool {
        self.has_time(candle.time)
            && self.has_symbol(candle.symbol)
            && self.has_prices(Prices::of(candle.source.feed))
    }

    fn has_time(&self, time: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }

    pub(crate) fn from(&self) -> DateTime<Utc> {
        self.from.unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    pub(crate) fn to(&self) -> DateTime<Utc> {
        self.to.unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}
