//! The live view in memory: of each symbol its latest tick, its candles in progress and just closed, and its last day.
//! Pure: the caller brings what was read, and the time.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use market::{Candle, CandleBuilder, CandleOrigin, CandleTiming, Interval, Source, Symbol, Tick};

use crate::{
    candle_json::SymbolCandle,
    quote::{Freshness, LatestTick, Quote, is_ahead},
    sparkline::RecentMinutes,
    updates::Change,
};

/// Candles of a symbol that ended and are not stored yet, at most; the oldest is dropped first. There are more where the
/// consumer is an hour behind.
const MAX_UNSTORED: usize = 60;

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
    latest: Option<LatestTick>,
    freshness: Option<Freshness>,
    /// Builds the candle in progress, for each feed of the symbol.
    builder: CandleBuilder,
    /// The ticks that were counted since the start of loading: the store and the log may both bring one.
    counted: HashSet<(Source, u64)>,
    /// Candles that the builder closed, until the consumer publishes its own of the same feed and time.
    unstored: VecDeque<Candle>,
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
    /// The ticks of the current minute are being loaded from the store.
    is_loading: bool,
}

impl LiveQuotes {
    /// The watched symbols, nothing known of them.
    pub(crate) fn new(watched: &[Symbol]) -> Self {
        let symbols = watched.iter().map(|symbol| (*symbol, LiveSymbol::new(*symbol))).collect();
        Self { symbols, dirty: Vec::new(), is_loading: true }
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
        let is_loading = self.is_loading;
        self.update(tick.symbol, |live| {
            live.build(tick, is_loading, now);
            live.show(LatestTick::arriving(*tick, now), now);
        });
    }

    /// Counts a stored tick in its candle only: ticks of the current minute from before the start.
    pub(crate) fn build(&mut self, tick: &Tick, now: DateTime<Utc>) {
        let is_loading = self.is_loading;
        self.update(tick.symbol, |live| live.build(tick, is_loading, now));
    }

    /// Ends the loading: what arrives from now on comes from the log alone.
    pub(crate) fn end_loading(&mut self) {
        self.is_loading = false;
        self.symbols.values_mut().for_each(|live| live.counted = HashSet::new());
    }

    /// Shows a stored tick.
    pub(crate) fn show(&mut self, tick: &Tick, now: DateTime<Utc>) {
        self.update(tick.symbol, |live| live.show(LatestTick::stored(*tick, now), now));
    }

    /// Takes a candle that was closed or quoted; other intervals than one minute are ignored, and candles ahead of the clock.
    pub(crate) fn apply_candle(&mut self, candle: &Candle, now: DateTime<Utc>) {
        if candle.interval == Interval::Minute && !is_ahead(candle.time, now) {
            self.update(candle.symbol, |live| live.apply_candle(candle, now));
        }
    }

    /// How far the farthest of the shown ticks is ahead of the clock; `None` where none is.
    pub(crate) fn farthest_ahead(&self, now: DateTime<Utc>) -> Option<chrono::TimeDelta> {
        let received = self.symbols.values().filter_map(|live| Some(live.latest?.tick.received_at));
        received.filter(|at| is_ahead(*at, now)).map(|at| at - now).max()
    }

    /// Applies what changes with time alone: prices become stale, candles of idle symbols end. Costs a look at every
    /// symbol: call it once a second, not with every change.
    pub(crate) fn advance(&mut self, now: DateTime<Utc>) {
        for (symbol, live) in &mut self.symbols {
            let was_clean = live.changed == Changed::default();
            live.advance_builder(now);
            let freshness = live.latest.map(|latest| latest.freshness(now));
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

    /// The one-minute candles in progress, and those that ended and may not be stored yet. None is final: the consumer closes
    /// candles, which has read all of their ticks.
    pub(crate) fn unstored_candles(&self, symbol: Symbol) -> Vec<Candle> {
        self.symbols.get(&symbol).map(|live| live.unstored_candles().collect()).unwrap_or_default()
    }
}

impl LiveSymbol {
    fn new(symbol: Symbol) -> Self {
        Self {
            latest: None,
            freshness: None,
            builder: CandleBuilder::new(&[Interval::Minute], CandleTiming::default()),
            counted: HashSet::new(),
            unstored: VecDeque::new(),
            closed_candle: None,
            minutes: RecentMinutes::new(symbol.asset_class()),
            spark_path: "".into(),
            relative_volume: None,
            changed: Changed::default(),
        }
    }

    fn build(&mut self, tick: &Tick, is_loading: bool, now: DateTime<Utc>) {
        if is_loading && !self.counted.insert((tick.source, tick.seq)) {
            return;
        }
        let mut closed = Vec::new();
        self.builder.apply(tick, now, &mut closed);
        self.keep_unstored(closed);
        self.changed.open_candle = true;
    }

    fn advance_builder(&mut self, now: DateTime<Utc>) {
        let mut closed = Vec::new();
        self.builder.advance(now, &mut closed);
        self.keep_unstored(closed);
    }

    fn keep_unstored(&mut self, closed: Vec<Candle>) {
        for candle in closed {
            // The consumer may have been quicker.
            let is_known = |known: Candle| {
                known.time > candle.time
                    || (known.time == candle.time && known.source.feed == candle.source.feed)
            };
            if !self.closed_candle.is_some_and(is_known) {
                self.unstored.push_back(candle.in_progress());
            }
        }
        let too_many = self.unstored.len().saturating_sub(MAX_UNSTORED);
        self.unstored.drain(..too_many);
    }

    fn show(&mut self, latest: LatestTick, now: DateTime<Utc>) {
        if self.latest.is_none_or(|shown| shown.gives_way_to(&latest, now)) {
            self.latest = Some(latest);
            self.changed.quote = true;
        }
    }

    fn apply_candle(&mut self, candle: &Candle, now: DateTime<Utc>) {
        // The candles that are built of a feed's ticks are published in their order.
        let is_stored = |unstored: &Candle| {
            let is_built_after = candle.source.origin == CandleOrigin::Ticks && unstored.time < candle.time;
            unstored.source.feed == candle.source.feed && (unstored.time == candle.time || is_built_after)
        };
        self.unstored.retain(|unstored| !is_stored(unstored));
        self.changed.spark |= self.minutes.put(candle);
        let is_newest = self.closed_candle.is_none_or(|known| {
            let is_preferred = candle.source.origin <= known.source.origin && *candle != known;
            let is_later = known.time < candle.time || is_ahead(known.time, now);
            is_later || (known.time == candle.time && is_preferred)
        });
        if is_newest {
            self.closed_candle = Some(*candle);
            self.changed.closed_candle = true;
        }
    }

    /// Unstored candles that ended, then those in progress.
    fn unstored_candles(&self) -> impl Iterator<Item = Candle> {
        self.unstored.iter().copied().chain(self.builder.open_candles())
    }

    fn is_after_closed(&self, candle: &Candle, now: DateTime<Utc>) -> bool {
        self.closed_candle.is_none_or(|closed| closed.time < candle.time || is_ahead(closed.time, now))
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
            && let Some(latest) = &self.latest
        {
            self.freshness = Some(latest.freshness(now));
            changes.push(Change::Quote(Quote::new(latest, self.relative_volume, now)));
        }
        if changed.closed_candle
            && let Some(candle) = &self.closed_candle
        {
            changes.push(Change::ClosedCandle(symbol, SymbolCandle::from(candle)));
        }
        if changed.open_candle {
            let newest = self.unstored_candles().max_by_key(|candle| candle.time);
            if let Some(candle) = newest.filter(|candle| self.is_after_closed(candle, now)) {
                changes.push(Change::OpenCandle(symbol, SymbolCandle::from(&candle)));
            }
        }
    }

    fn quote(&self, now: DateTime<Utc>) -> Option<Quote> {
        self.latest.as_ref().map(|latest| Quote::new(latest, self.relative_volume, now))
    }
}

#[cfg(test)]
mod turns;

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use market::{CandleFields, TickFields, parse_decimal};

    use super::*;
    use crate::quote::STALE_AFTER_SECONDS;

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
        quotes.apply_candle(&candle("binance/ticks", "104", "3"), now);
        assert_eq!(quotes.take_changes(now).len(), 2);
        quotes.apply_candle(&candle("binance", "105", "5"), now);
        let changes = quotes.take_changes(now);
        let [Change::Spark(_, sparkline), Change::ClosedCandle(..)] = &changes[..] else {
            panic!("{changes:?}")
        };
        assert_eq!(sparkline.closes, [105.0]);
        quotes.apply_candle(&candle("binance/ticks", "104", "3"), now);
        quotes.apply_candle(&candle("binance", "105", "5"), now);
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

        let later = now + TimeDelta::seconds(STALE_AFTER_SECONDS + 1);
        quotes.apply_tick(&tick("51", past, later), later);
        assert_eq!(shown(&quotes, later), Some(51.0), "the live feed has been silent for a minute");
    }

    #[test]
    fn prices_and_candles_go_on_after_a_clock_that_was_fast_is_corrected() {
        let right: DateTime<Utc> = "2026-01-13T12:00:00Z".parse().expect("a time");
        let fast = right + TimeDelta::hours(1);
        let mut quotes = LiveQuotes::new(&[]);
        quotes.end_loading();
        quotes.apply_tick(&tick("105", fast, fast), fast);
        assert_eq!(quotes.farthest_ahead(fast), None);
        quotes.advance(right);
        let quote = quotes.quote(tick("105", right, right).symbol, right).expect("a quote");
        assert_eq!((quote.state, quote.age_ms), (Freshness::Stale, -3_600_000), "not live, 0 s ago");
        assert_eq!(quotes.farthest_ahead(right), Some(TimeDelta::hours(1)));
        quotes.apply_tick(&tick("106", right, right), right);
        assert_eq!(shown(&quotes, right), Some(106.0));
        let open = quotes.unstored_candles(quote.symbol);
        assert_eq!(open.iter().map(|candle| candle.time).max(), Some(right), "{open:?}");
        assert_eq!(quotes.farthest_ahead(right), None);

        // The same across a restart: the newest stored tick is the one from ahead.
        let mut restarted = LiveQuotes::new(&[]);
        restarted.show(&tick("105", fast, fast), right);
        assert_eq!(restarted.quote(quote.symbol, right).map(|quote| quote.state), Some(Freshness::Stale));
        restarted.apply_tick(&tick("106", right, right), right);
        assert_eq!(shown(&restarted, right), Some(106.0));

        // And where a clock is set back too far: prices go on with its time.
        let slow = right - TimeDelta::hours(1);
        restarted.apply_tick(&tick("107", slow, slow), slow);
        assert_eq!(shown(&restarted, slow), Some(107.0));
    }

    #[test]
    fn a_tick_that_the_store_and_the_log_bring_is_counted_once() {
        let now: DateTime<Utc> = "2026-01-13T12:00:00Z".parse().expect("a time");
        let tick = tick("105", now, now);
        let mut quotes = LiveQuotes::new(&[]);
        quotes.apply_tick(&tick, now);
        quotes.build(&tick, now);
        quotes.end_loading();
        let open = quotes.unstored_candles(tick.symbol);
        assert_eq!(open.iter().map(|candle| candle.ticks).collect::<Vec<_>>(), [1]);
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
