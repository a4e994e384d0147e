//! The live view in memory: of each symbol its latest tick, its candles in progress and just closed, and its last day.
//! Pure: the caller brings what was read, and the time.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, CandleBuilder, CandleTiming, Interval, Symbol, Tick};

use crate::{
    candle_json::SymbolCandle,
    quote::{Freshness, Quote, STALE_AFTER_SECONDS},
    sparkline::RecentMinutes,
    updates::Change,
};

/// Parts of a symbol that changed since the last [`LiveQuotes::take_changes`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each part changes by itself")]
struct Changed {
    quote: bool,
    open_candle: bool,
    closed_candle: bool,
    spark: bool,
}

/// One symbol.
struct LiveSymbol {
    tick: Option<Tick>,
    freshness: Option<Freshness>,
    /// Builds the candle in progress, for each feed of the symbol.
    builder: CandleBuilder,
    open_candle: Option<Candle>,
    closed_candle: Option<Candle>,
    minutes: RecentMinutes,
    /// Of the minutes, as of the last [`LiveQuotes::take_changes`].
    spark_path: Arc<str>,
    relative_volume: Option<f64>,
    changed: Changed,
}

/// A symbol as a page draws it.
pub(crate) struct SymbolView {
    pub(crate) symbol: Symbol,
    /// `None` before its first tick.
    pub(crate) quote: Option<Quote>,
    /// The SVG path of its sparkline; empty below two points.
    pub(crate) spark_path: Arc<str>,
}

/// All symbols.
pub(crate) struct LiveQuotes {
    symbols: BTreeMap<Symbol, LiveSymbol>,
    /// Symbols with something in `changed`, each once.
    dirty: Vec<Symbol>,
}

impl LiveQuotes {
    /// The watched symbols, nothing known of them.
    pub(crate) fn new(watched: &[Symbol]) -> Self {
        let symbols = watched.iter().map(|symbol| (*symbol, LiveSymbol::new(*symbol))).collect();
        Self { symbols, dirty: Vec::new() }
    }

    fn update(&mut self, symbol: Symbol, update: impl FnOnce(&mut LiveSymbol)) {
        let live = self.symbols.entry(symbol).or_insert_with(|| LiveSymbol::new(symbol));
        let was_clean = live.changed == Changed::default();
        update(live);
        if was_clean && live.changed != Changed::default() {
            self.dirty.push(symbol);
        }
    }

    /// Takes a tick as it arrives.
    pub(crate) fn apply_tick(&mut self, tick: &Tick, now: DateTime<Utc>) {
        self.update(tick.symbol, |live| {
            live.build(tick, now);
            live.show(tick);
        });
    }

    /// Counts a tick in its candle only: ticks of the current minute from before the start.
    pub(crate) fn build(&mut self, tick: &Tick, now: DateTime<Utc>) {
        self.update(tick.symbol, |live| live.build(tick, now));
    }

    /// Shows a tick, unless a newer one of the same moment in time is shown: a recording that is replayed beside a
    /// live feed does not replace its prices.
    pub(crate) fn show(&mut self, tick: &Tick) {
        self.update(tick.symbol, |live| live.show(tick));
    }

    /// Takes a candle that was closed or quoted; other intervals than one minute are ignored.
    pub(crate) fn apply_candle(&mut self, candle: &Candle) {
        if candle.interval == Interval::Minute {
            self.update(candle.symbol, |live| live.apply_candle(candle));
        }
    }

    /// Applies what changes with time alone: prices become stale, candles of idle symbols end. Costs a look at every
    /// symbol: call it once a second, not with every change.
    pub(crate) fn advance(&mut self, now: DateTime<Utc>) {
        for (symbol, live) in &mut self.symbols {
            let was_clean = live.changed == Changed::default();
            // Closed candles come from the consumer, which has seen all of their ticks.
            live.builder.advance(now, &mut Vec::new());
            let freshness = live.tick.as_ref().map(|tick| Freshness::of(tick, now));
            live.changed.quote |= freshness != live.freshness;
            if was_clean && live.changed.quote {
                self.dirty.push(*symbol);
            }
        }
    }

    /// What changed since the last call. Costs what changed, whatever the number of symbols.
    pub(crate) fn take_changes(&mut self, now: DateTime<Utc>) -> Vec<Change> {
        let mut changes = Vec::new();
        for symbol in self.dirty.drain(..) {
            if let Some(live) = self.symbols.get_mut(&symbol) {
                live.take_changes(symbol, now, &mut changes);
            }
        }
        changes
    }

    /// Every symbol, in alphabetical order.
    pub(crate) fn views(&self, now: DateTime<Utc>) -> Vec<SymbolView> {
        let view = |(symbol, live): (&Symbol, &LiveSymbol)| SymbolView {
            symbol: *symbol,
            quote: live.quote(now),
            spark_path: Arc::clone(&live.spark_path),
        };
        self.symbols.iter().map(view).collect()
    }

    /// The quote of one symbol; `None` before its first tick.
    pub(crate) fn quote(&self, symbol: Symbol, now: DateTime<Utc>) -> Option<Quote> {
        self.symbols.get(&symbol).and_then(|live| live.quote(now))
    }

    /// Whether the symbol is watched or had ticks.
    pub(crate) fn contains(&self, symbol: Symbol) -> bool {
        self.symbols.contains_key(&symbol)
    }

    /// Every symbol, in alphabetical order.
    pub(crate) fn symbols(&self) -> Vec<Symbol> {
        self.symbols.keys().copied().collect()
    }

    /// The one-minute candle in progress; `None` once its close is known.
    pub(crate) fn open_candle(&self, symbol: Symbol) -> Option<Candle> {
        let live = self.symbols.get(&symbol)?;
        live.newest_open().or(live.open_candle).filter(|candle| live.is_after_closed(candle))
    }
}

impl LiveSymbol {
    fn new(symbol: Symbol) -> Self {
        Self {
            tick: None,
            freshness: None,
            builder: CandleBuilder::new(&[Interval::Minute], CandleTiming::default()),
            open_candle: None,
            closed_candle: None,
            minutes: RecentMinutes::new(symbol.asset_class()),
            spark_path: "".into(),
            relative_volume: None,
            changed: Changed::default(),
        }
    }

    fn build(&mut self, tick: &Tick, now: DateTime<Utc>) {
        self.builder.apply(tick, now, &mut Vec::new());
        self.changed.open_candle = true;
    }

    fn show(&mut self, tick: &Tick) {
        let is_older = self.tick.is_some_and(|shown| {
            tick.timestamp < shown.timestamp
                && tick.received_at - shown.received_at < TimeDelta::seconds(STALE_AFTER_SECONDS)
        });
        if !is_older {
            self.tick = Some(*tick);
            self.changed.quote = true;
        }
    }

    fn apply_candle(&mut self, candle: &Candle) {
        self.changed.spark |= self.minutes.put(candle);
        let is_newest = self.closed_candle.is_none_or(|known| {
            let is_preferred = candle.source.origin <= known.source.origin && *candle != known;
            known.time < candle.time || (known.time == candle.time && is_preferred)
        });
        if is_newest {
            self.closed_candle = Some(*candle);
            self.changed.closed_candle = true;
        }
    }

    fn newest_open(&self) -> Option<Candle> {
        self.builder.open_candles().into_iter().max_by_key(|candle| candle.time)
    }

    fn is_after_closed(&self, candle: &Candle) -> bool {
        self.closed_candle.is_none_or(|closed| closed.time < candle.time)
    }

    fn take_changes(&mut self, symbol: Symbol, now: DateTime<Utc>, changes: &mut Vec<Change>) {
        let changed = std::mem::take(&mut self.changed);
        // The quote carries the relative volume, and so comes after it.
        if changed.spark {
            self.relative_volume = self.minutes.relative_volume();
            let sparkline = self.minutes.sparkline();
            self.spark_path = sparkline.path().into();
            changes.push(Change::Spark(symbol, sparkline));
        }
        if changed.quote
            && let Some(tick) = &self.tick
        {
            self.freshness = Some(Freshness::of(tick, now));
            changes.push(Change::Quote(Quote::new(tick, self.relative_volume, now)));
        }
        if changed.closed_candle
            && let Some(candle) = &self.closed_candle
        {
            changes.push(Change::ClosedCandle(symbol, SymbolCandle::from(candle)));
        }
        if changed.open_candle {
            let newest = self.newest_open();
            if newest.is_some_and(|new| self.open_candle.is_none_or(|known| known.time <= new.time)) {
                self.open_candle = newest;
            }
            if let Some(candle) = self.open_candle.filter(|candle| self.is_after_closed(candle)) {
                changes.push(Change::OpenCandle(symbol, SymbolCandle::from(&candle)));
            }
        }
    }

    fn quote(&self, now: DateTime<Utc>) -> Option<Quote> {
        self.tick.as_ref().map(|tick| Quote::new(tick, self.relative_volume, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{CandleFields, Source, TickFields, parse_decimal};

    fn tick(price: &str, timestamp: DateTime<Utc>, received_at: DateTime<Utc>) -> Tick {
        let price = parse_decimal(price).expect("a decimal");
        Tick::new(TickFields {
            symbol: Symbol::parse("BTC/USDT").expect("a symbol"),
            timestamp,
            price,
            volume: price,
            open: price,
            high: price,
            low: price,
            size: None,
            change_percent: 0.0,
            source: Source::parse("binance").expect("a source"),
            received_at,
            seq: 1,
        })
        .expect("a tick")
    }

    fn shown(quotes: &LiveQuotes, now: DateTime<Utc>) -> Option<f64> {
        quotes.views(now).into_iter().next().and_then(|view| view.quote).map(|quote| quote.price)
    }

    #[test]
    fn a_provider_s_candle_is_not_replaced_by_the_one_of_its_ticks_and_is_not_repeated() {
        let now: DateTime<Utc> = "2026-01-13T12:00:00Z".parse().expect("a time");
        let candle = |source: &str, close: &str, volume: &str| {
            let decimal = |text| parse_decimal(text).expect("a decimal");
            Candle::new(CandleFields {
                symbol: Symbol::parse("BTC/USDT").expect("a symbol"),
                interval: Interval::Minute,
                time: now,
                open: decimal("100"),
                high: decimal("110"),
                low: decimal("90"),
                close: decimal(close),
                volume: Some(decimal(volume)),
                ticks: 3,
                source: source.parse().expect("a source"),
                is_final: true,
            })
            .expect("a candle")
        };
        let mut quotes = LiveQuotes::new(&[]);
        quotes.apply_candle(&candle("binance/ticks", "104", "3"));
        assert_eq!(quotes.take_changes(now).len(), 2);
        quotes.apply_candle(&candle("binance", "105", "5"));
        let changes = quotes.take_changes(now);
        let [Change::Spark(_, sparkline), Change::ClosedCandle(..)] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(sparkline.closes, [105.0]);
        quotes.apply_candle(&candle("binance/ticks", "104", "3"));
        quotes.apply_candle(&candle("binance", "105", "5"));
        assert!(quotes.take_changes(now).is_empty());
    }

    #[test]
    fn a_replayed_past_does_not_replace_a_live_price_but_shows_where_nothing_is_live() {
        let now: DateTime<Utc> = "2026-01-13T12:00:00Z".parse().expect("a time");
        let past = now - TimeDelta::days(30);
        let mut quotes = LiveQuotes::new(&[]);
        quotes.apply_tick(&tick("105", now, now), now);
        quotes.apply_tick(&tick("50", past, now), now);
        assert_eq!(shown(&quotes, now), Some(105.0));

        let later = now + TimeDelta::seconds(STALE_AFTER_SECONDS);
        quotes.apply_tick(&tick("51", past, later), later);
        assert_eq!(shown(&quotes, later), Some(51.0), "the live feed has been silent for a minute");
    }

    #[test]
    fn what_changed_is_returned_once_and_what_did_not_is_not_repeated() {
        let now: DateTime<Utc> = "2026-01-13T12:00:00Z".parse().expect("a time");
        let mut quotes = LiveQuotes::new(&[]);
        quotes.apply_tick(&tick("104", now, now), now);
        quotes.apply_tick(&tick("105", now, now), now);
        let changes = quotes.take_changes(now);
        assert!(matches!(changes[..], [Change::Quote(_), Change::OpenCandle(..)]), "{changes:?}");
        quotes.advance(now);
        assert!(quotes.take_changes(now).is_empty(), "nothing happened");

        let stale = now + TimeDelta::seconds(STALE_AFTER_SECONDS + 1);
        quotes.advance(stale);
        let changes = quotes.take_changes(stale);
        assert!(
            matches!(&changes[..], [Change::Quote(quote)] if quote.state == Freshness::Stale),
            "that a price became stale is a change: {changes:?}"
        );
        quotes.advance(stale);
        assert!(quotes.take_changes(stale).is_empty(), "and is not repeated");
    }
}
