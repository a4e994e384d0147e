//! The figures of the last 24 hours beside the trades of a socket: trades carry a price only, the figures come apart from them. Pure.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use market::{DecimalError, Source, Symbol, Tick, TickFields, decimal_to_f64};
use rust_decimal::Decimal;

use super::fields::ParseError;

/// Figures as a venue quotes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted {
    pub(crate) open: Decimal,
    pub(crate) high: Decimal,
    pub(crate) low: Decimal,
    pub(crate) volume: Decimal,
    pub(crate) counted: Counted,
}

/// Which trades a quoted volume contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// Those that came before it.
    Received,
    /// Those up to this id.
    ToTrade(u64),
    /// Those up to this time.
    ToTime(DateTime<Utc>),
}

/// A trade of a venue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trade {
    pub(crate) id: u64,
    pub(crate) price: Decimal,
    pub(crate) size: Decimal,
    pub(crate) timestamp: DateTime<Utc>,
    pub(crate) received_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug)]
struct Day {
    quoted: Quoted,
    /// The day in UTC of figures that were made of trades; none of quoted ones.
    made_of: Option<NaiveDate>,
}

/// What is known of the symbols of one connection.
#[derive(Debug)]
pub(crate) struct Figures {
    source: Source,
    days: HashMap<Symbol, Day>,
    /// The newest trade of each symbol: one that comes again, as after a reconnect, is in the volume already.
    newest: HashMap<Symbol, u64>,
}

impl Figures {
    /// Before anything is known.
    pub(crate) fn new(source: Source) -> Self {
        Self { source, days: HashMap::new(), newest: HashMap::new() }
    }

    /// Takes in quoted figures. Those of a pair that has not traded within a day are zeros: its first trade makes them.
    pub(crate) fn quote(&mut self, symbol: Symbol, quoted: Quoted) {
        let Quoted { open, high, low, .. } = quoted;
        if open > Decimal::ZERO && high > Decimal::ZERO && low > Decimal::ZERO {
            self.days.insert(symbol, Day { quoted, made_of: None });
        } else {
            self.days.remove(&symbol);
        }
    }

    /// Whether this trade or a newer one has come before. The ids of a symbol only rise.
    pub(crate) fn is_known(&self, symbol: Symbol, id: u64) -> bool {
        self.newest.get(&symbol).is_some_and(|newest| id <= *newest)
    }

    /// The tick of a trade, with the figures of the day so far.
    pub(crate) fn tick(&mut self, symbol: Symbol, trade: Trade) -> Result<Tick, ParseError> {
        let Trade { id, price, size, timestamp, received_at } = trade;
        let made_of = Some(timestamp.date_naive());
        let counted = Counted::Received;
        let first = Quoted { open: price, high: price, low: price, volume: Decimal::ZERO, counted };
        // Without quoted figures they are those of the day in UTC.
        let known =
            self.days.get(&symbol).copied().filter(|day| day.made_of.is_none() || day.made_of == made_of);
        let mut day = known.unwrap_or(Day { quoted: first, made_of });
        let figures = &mut day.quoted;
        figures.high = figures.high.max(price);
        figures.low = figures.low.min(price);
        let is_counted = match figures.counted {
            Counted::Received => false,
            Counted::ToTrade(last) => id <= last,
            Counted::ToTime(last) => timestamp <= last,
        };
        // Until the next quote of the day's volume this trade is known to be in it.
        if !is_counted && !self.is_known(symbol, id) {
            let volume = figures.volume.checked_add(size);
            figures.volume = volume.ok_or(ParseError::Number("volume", DecimalError::NotFinite))?;
        }
        let tick = Tick::new(TickFields {
            symbol,
            timestamp,
            price,
            volume: figures.volume,
            open: figures.open,
            high: figures.high,
            low: figures.low,
            size: Some(size),
            change_percent: change_percent(figures.open, price),
            source: self.source,
            received_at,
            seq: id,
        })?;
        // Only now: a trade that was refused leaves no trace in the day's figures.
        self.days.insert(symbol, day);
        let newest = self.newest.entry(symbol).or_default();
        *newest = id.max(*newest);
        Ok(tick)
    }
}

/// In percent, to four digits; 0 where there is nothing to compare with.
fn change_percent(open: Decimal, price: Decimal) -> f64 {
    let open = decimal_to_f64(open);
    if open > 0.0 { ((decimal_to_f64(price) / open - 1.0) * 1e6).round() / 1e4 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trade(id: u64, second: u32) -> Trade {
        let timestamp = DateTime::from_timestamp(1_700_000_000 + i64::from(second), 0).expect("a time");
        let received_at = timestamp;
        Trade { id, price: Decimal::from(100), size: Decimal::from(2), timestamp, received_at }
    }

    fn quoted(counted: Counted) -> Quoted {
        let (open, high, low) = (Decimal::from(80), Decimal::from(90), Decimal::from(70));
        Quoted { open, high, low, volume: Decimal::from(1_000), counted }
    }

    #[test]
    fn a_trade_that_a_quoted_volume_contains_is_not_added_to_it() {
        let symbol = Symbol::parse("BTC/USD").expect("a symbol");
        let time = trade(7, 7).timestamp;
        for counted in [Counted::ToTrade(7), Counted::ToTime(time)] {
            let mut figures = Figures::new(Source::parse("coinbase").expect("a source"));
            figures.quote(symbol, quoted(counted));
            let volumes: Vec<Decimal> = [trade(6, 6), trade(7, 7), trade(8, 8), trade(8, 8)]
                .map(|trade| figures.tick(symbol, trade).expect("a tick").volume)
                .into();
            assert_eq!(volumes, [1_000, 1_000, 1_002, 1_002].map(Decimal::from), "{counted:?}");
            assert!(figures.is_known(symbol, 8) && !figures.is_known(symbol, 9));
        }
    }

    #[test]
    fn the_figures_of_a_quote_grow_with_the_trades_after_it() {
        let symbol = Symbol::parse("BTC/USD").expect("a symbol");
        let mut figures = Figures::new(Source::parse("kraken").expect("a source"));
        assert_eq!(figures.tick(symbol, trade(1, 1)).expect("a tick").volume, Decimal::from(2));
        figures.quote(symbol, quoted(Counted::Received));
        let tick = figures.tick(symbol, trade(2, 2)).expect("a tick");
        assert_eq!([tick.open, tick.high, tick.low, tick.volume], [80, 100, 70, 1_002].map(Decimal::from));
        assert!((tick.change_percent - 25.0).abs() < f64::EPSILON);
    }
}
