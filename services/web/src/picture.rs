//! What is live, in memory: for every symbol its latest tick, its bars in progress and just closed, and its last day.
//! Pure: the caller brings what was read, and the time.
//!
//! Everything that a tab is told has a version, counted over all symbols, so that "what changed since" is a question
//! with an exact answer, however long a tab was away.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use market::{Candle, CandleBuilder, CandleTiming, Interval, Symbol, Tick};
use serde::Serialize;

use crate::{
    bar::SymbolBar,
    day::{Day, Spark},
    quote::{Freshness, Quote, STALE_AFTER_SECONDS},
};

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The latest price.
    Quote,
    /// A one-minute bar, in progress or closed.
    Candle,
    /// The points of the day.
    Spark,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Quote, Self::Candle, Self::Spark];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Candle => "candle",
            Self::Spark => "spark",
        }
    }
}

/// The latest of its kind that was said about a symbol.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) version: u64,
    pub(crate) kind: Kind,
    /// JSON, on one line.
    pub(crate) text: Arc<str>,
}

/// One thing that is told about a symbol.
#[derive(Default)]
struct Topic {
    said: Option<Said>,
    /// Something is known that was not said yet.
    is_news: bool,
}

/// One symbol.
struct Slot {
    tick: Option<Tick>,
    freshness: Option<Freshness>,
    in_progress: Option<Candle>,
    closed: Option<Candle>,
    day: Day,
    relative_volume: Option<f64>,
    quote: Topic,
    bar: Topic,
    close: Topic,
    spark: Topic,
}

impl Slot {
    fn new(symbol: Symbol) -> Self {
        Self {
            tick: None,
            freshness: None,
            in_progress: None,
            closed: None,
            day: Day::new(symbol.asset_class()),
            relative_volume: None,
            quote: Topic::default(),
            bar: Topic::default(),
            close: Topic::default(),
            spark: Topic::default(),
        }
    }

    fn said(&self) -> impl Iterator<Item = &Said> {
        [&self.quote, &self.close, &self.bar, &self.spark].into_iter().flat_map(|topic| &topic.said)
    }
}

/// A symbol as a page draws it.
pub(crate) struct View {
    pub(crate) symbol: Symbol,
    /// None before its first tick.
    pub(crate) quote: Option<Quote>,
    pub(crate) spark: Spark,
}

/// The picture.
pub(crate) struct Picture {
    slots: BTreeMap<Symbol, Slot>,
    builder: CandleBuilder,
    version: u64,
}

impl Picture {
    /// Nothing but places for the symbols that are watched.
    pub(crate) fn new(watched: &[Symbol]) -> Self {
        let slots = watched.iter().map(|symbol| (*symbol, Slot::new(*symbol))).collect();
        Self { slots, builder: CandleBuilder::new(&[Interval::Minute], CandleTiming::default()), version: 0 }
    }

    fn slot(&mut self, symbol: Symbol) -> &mut Slot {
        self.slots.entry(symbol).or_insert_with(|| Slot::new(symbol))
    }

    /// A tick as it comes.
    pub(crate) fn apply_tick(&mut self, tick: &Tick, now: DateTime<Utc>) {
        self.build(tick, now);
        self.show(tick);
    }

    /// Counts a tick in its bar only: ticks of the current minute from before the start.
    pub(crate) fn build(&mut self, tick: &Tick, now: DateTime<Utc>) {
        // Closed bars come from the consumer, who has seen all of their ticks.
        let mut closed = Vec::new();
        self.builder.apply(tick, now, &mut closed);
        self.slot(tick.symbol).bar.is_news = true;
    }

    /// Shows a tick, unless a newer one of the same moment in time is shown: a recording that is replayed beside a
    /// live feed does not push its prices away.
    pub(crate) fn show(&mut self, tick: &Tick) {
        let slot = self.slot(tick.symbol);
        let is_older = slot.tick.is_some_and(|shown| {
            tick.timestamp < shown.timestamp
                && tick.received_at - shown.received_at < TimeDelta::seconds(STALE_AFTER_SECONDS)
        });
        if !is_older {
            slot.tick = Some(*tick);
            slot.quote.is_news = true;
        }
    }

    /// A one-minute bar that was closed or quoted.
    pub(crate) fn apply_candle(&mut self, candle: &Candle) {
        if candle.interval != Interval::Minute {
            return;
        }
        let slot = self.slot(candle.symbol);
        slot.spark.is_news |= slot.day.put(candle);
        let is_newest = slot.closed.is_none_or(|known| known.time < candle.time)
            || slot.closed.is_some_and(|known| known.time == candle.time && candle.source <= known.source);
        if is_newest {
            slot.closed = Some(*candle);
            slot.close.is_news = true;
        }
    }

    /// Puts into words what changed since the last time, each under a new version. `true` when there was anything.
    pub(crate) fn flush(&mut self, now: DateTime<Utc>) -> bool {
        let before = self.version;
        self.builder.advance(now, &mut Vec::new());
        for (symbol, slot) in self.slots.iter_mut().filter(|(_, slot)| slot.bar.is_news) {
            let newest = self.builder.open_candles_of(*symbol).into_iter().max_by_key(|bar| bar.time);
            if let Some(bar) =
                newest.filter(|bar| slot.in_progress.is_none_or(|known| known.time <= bar.time))
            {
                slot.in_progress = Some(bar);
            }
        }
        for (symbol, slot) in &mut self.slots {
            flush_slot(*symbol, slot, &mut self.version, now);
        }
        self.version > before
    }

    /// The number of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// What was said after `version` about the chosen symbols (all, if none are named), in the order of saying.
    pub(crate) fn said_since(&self, version: u64, symbols: &[Symbol], kinds: &[Kind]) -> Vec<Said> {
        let of_slot = |slot: &Slot| -> Vec<Said> {
            slot.said().filter(|said| said.version > version && kinds.contains(&said.kind)).cloned().collect()
        };
        let mut said: Vec<Said> = if symbols.is_empty() {
            self.slots.values().flat_map(of_slot).collect()
        } else {
            symbols.iter().filter_map(|symbol| self.slots.get(symbol)).flat_map(of_slot).collect()
        };
        said.sort_by_key(|said| said.version);
        said
    }

    /// Every symbol, in alphabetical order.
    pub(crate) fn views(&self, now: DateTime<Utc>) -> Vec<View> {
        self.slots.iter().map(|(symbol, slot)| view(*symbol, slot, now)).collect()
    }

    /// One symbol; `None` where nothing is known of it.
    pub(crate) fn view(&self, symbol: Symbol, now: DateTime<Utc>) -> Option<View> {
        self.slots.get(&symbol).map(|slot| view(symbol, slot, now))
    }

    /// Every symbol's name, in alphabetical order.
    pub(crate) fn symbols(&self) -> Vec<Symbol> {
        self.slots.keys().copied().collect()
    }

    /// The one-minute bar in progress.
    pub(crate) fn bar_in_progress(&self, symbol: Symbol) -> Option<Candle> {
        let slot = self.slots.get(&symbol)?;
        let building = self.builder.open_candles_of(symbol).into_iter().max_by_key(|bar| bar.time);
        // Once its close is known, the bar is no longer in progress.
        building.or(slot.in_progress).filter(|bar| slot.closed.is_none_or(|closed| closed.time < bar.time))
    }
}

fn view(symbol: Symbol, slot: &Slot, now: DateTime<Utc>) -> View {
    let quote = slot.tick.as_ref().map(|tick| Quote::new(tick, slot.relative_volume, now));
    View { symbol, quote, spark: slot.day.spark() }
}

fn flush_slot(symbol: Symbol, slot: &mut Slot, version: &mut u64, now: DateTime<Utc>) {
    if std::mem::take(&mut slot.spark.is_news) {
        slot.relative_volume = slot.day.relative_volume();
        say(&mut slot.spark, Kind::Spark, version, &SymbolSpark { symbol, spark: slot.day.spark() });
    }
    let freshness = slot.tick.as_ref().map(|tick| Freshness::of(tick, now));
    if std::mem::take(&mut slot.quote.is_news) || freshness != slot.freshness {
        slot.freshness = freshness;
        if let Some(tick) = &slot.tick {
            say(&mut slot.quote, Kind::Quote, version, &Quote::new(tick, slot.relative_volume, now));
        }
    }
    if std::mem::take(&mut slot.close.is_news)
        && let Some(closed) = &slot.closed
    {
        say(&mut slot.close, Kind::Candle, version, &SymbolBar::from(closed));
    }
    if std::mem::take(&mut slot.bar.is_news)
        && let Some(bar) = &slot.in_progress
        && slot.closed.is_none_or(|closed| closed.time < bar.time)
    {
        say(&mut slot.bar, Kind::Candle, version, &SymbolBar::from(bar));
    }
}

#[derive(Serialize)]
struct SymbolSpark {
    symbol: Symbol,
    #[serde(flatten)]
    spark: Spark,
}

fn say(topic: &mut Topic, kind: Kind, version: &mut u64, value: &impl Serialize) {
    match serde_json::to_string(value) {
        Ok(text) => {
            *version += 1;
            topic.said = Some(Said { version: *version, kind, text: text.into() });
        }
        Err(error) => tracing::error!(%error, "an event could not be encoded"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use market::{Source, TickFields, parse_decimal};

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

    fn shown(picture: &Picture, now: DateTime<Utc>) -> Option<f64> {
        picture.views(now).first().and_then(|view| view.quote.as_ref()).map(|quote| quote.price)
    }

    #[test]
    fn a_replayed_past_does_not_push_a_live_price_away_but_shows_where_nothing_is_live() {
        let now: DateTime<Utc> = "2026-01-13T12:00:00Z".parse().expect("a time");
        let past = now - TimeDelta::days(30);
        let mut picture = Picture::new(&[]);
        picture.apply_tick(&tick("105", now, now), now);
        picture.apply_tick(&tick("50", past, now), now);
        assert_eq!(shown(&picture, now), Some(105.0));

        let later = now + TimeDelta::seconds(STALE_AFTER_SECONDS);
        picture.apply_tick(&tick("51", past, later), later);
        assert_eq!(shown(&picture, later), Some(51.0), "the live feed has been silent for a minute");
    }

    #[test]
    fn what_changed_is_said_once_and_what_did_not_is_not_said_again() {
        let now: DateTime<Utc> = "2026-01-13T12:00:00Z".parse().expect("a time");
        let mut picture = Picture::new(&[]);
        picture.apply_tick(&tick("105", now, now), now);
        assert!(picture.flush(now));
        let said = picture.said_since(0, &[], &Kind::ALL);
        assert_eq!(said.iter().map(|said| said.kind).collect::<Vec<_>>(), [Kind::Quote, Kind::Candle]);
        assert!(!picture.flush(now), "nothing happened");
        assert!(picture.said_since(picture.version(), &[], &Kind::ALL).is_empty());

        let stale = now + TimeDelta::seconds(STALE_AFTER_SECONDS + 1);
        assert!(picture.flush(stale), "that a price went stale is news");
        let said = picture.said_since(2, &[], &Kind::ALL);
        assert!(said.iter().all(|said| said.text.contains("\"state\":\"stale\"")), "{said:?}");
    }
}
