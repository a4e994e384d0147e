//! Narrow candles to wider ones, and the choice among candles of the same time.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    AssetClass, Candle, CandleFields, CandleOrigin, CandleSource, CandleTiming, DayBounds, Interval,
    day::day_bounds, decimal::round_significant,
};

/// One candle for each (symbol, interval, time), ordered by it: a provider's final candle before one built from ticks, then the one
/// with more ticks, then a final one, then one whose volume is known, then the feed first in the alphabet.
///
/// It is final when no candle of the same time is in progress at another feed, since that one may be preferred in the end; except
/// where it is a provider's. A candle in progress of which there is a final one of the same source is an earlier state of it.
pub fn prefer(candles: &[Candle]) -> Vec<Candle> {
    let is_quoted = |candle: &Candle| candle.is_final && candle.source.origin == CandleOrigin::Provider;
    let rank = |candle: &Candle| {
        let CandleFields { source, is_final, ticks, volume, .. } = **candle;
        (!is_quoted(candle), Reverse(ticks), !is_final, source.origin, volume.is_none(), source.feed)
    };
    let key = |candle: &Candle| (candle.symbol, candle.interval, candle.time);
    let mut rivals: BTreeMap<_, Vec<&Candle>> = BTreeMap::new();
    for candle in candles {
        rivals.entry(key(candle)).or_default().push(candle);
    }
    let best = |mut rivals: Vec<&Candle>| {
        let closed: Vec<CandleSource> =
            rivals.iter().filter(|candle| candle.is_final).map(|candle| candle.source).collect();
        rivals.retain(|candle| candle.is_final || !closed.contains(&candle.source));
        let is_open = rivals.iter().any(|candle| !candle.is_final);
        let best = **rivals.iter().min_by_key(|candle| rank(candle))?;
        Some(if is_open && !is_quoted(&best) { best.in_progress() } else { best })
    };
    rivals.into_values().filter_map(best).collect()
}

/// The open time of the candle of width `to` that this one is a part of.
fn open_time(candle: &Candle, to: Interval) -> DateTime<Utc> {
    match to {
        Interval::Day => day_bounds(candle.symbol.asset_class(), candle.time).label(),
        _ => to.floor(candle.time),
    }
}

/// The candles of the wider interval `to`, one for each time, ordered by it, of the stored candles of that interval and of the
/// one-minute candles (one for each time, ordered, as [`prefer`] returns them).
///
/// A final candle of a provider covers its whole interval and is taken as it is. Otherwise the minutes are put together: a stored
/// candle that was built from ticks covers its interval only from the moment when the building began, while minutes of before
/// may come later, as the history of a provider. Such a candle is taken only where there is no minute.
///
/// A candle is final when nothing that was received can still change it: its minutes are final, its interval has ended, and each
/// stored candle of its time is final. Where none is stored, the times of [`CandleTiming`] must have passed since the end.
pub fn widen(stored: &[Candle], minutes: &[Candle], to: Interval, now: DateTime<Utc>) -> Vec<Candle> {
    let preferred = prefer(stored).into_iter().map(|candle| ((candle.symbol, candle.time), candle));
    let mut wide: BTreeMap<_, Candle> = preferred.collect();
    let in_progress: BTreeSet<_> =
        stored.iter().filter(|candle| !candle.is_final).map(|candle| (candle.symbol, candle.time)).collect();
    for mut rolled in rollup(minutes, to) {
        let key = (rolled.symbol, rolled.time);
        let held = wide.get(&key);
        if held.is_some_and(|held| held.is_final && held.source.origin == CandleOrigin::Provider) {
            continue;
        }
        let wait = if held.is_some() { TimeDelta::zero() } else { CandleTiming::default().longest() };
        let is_over = end(&rolled) + wait <= now && !in_progress.contains(&key);
        rolled.0.is_final &= is_over;
        // The running total of a stock's day is that of the whole day, whenever the building began.
        if to == Interval::Day && rolled.symbol.asset_class() == AssetClass::Stock {
            rolled.0.volume = rolled.volume.or(held.and_then(|held| held.volume));
        }
        wide.insert(key, rolled);
    }
    wide.into_values().collect()
}

/// The end (exclusive) of a candle's interval.
fn end(candle: &Candle) -> DateTime<Utc> {
    match candle.interval {
        Interval::Day => DayBounds::of(candle.symbol.asset_class(), candle.time.date_naive()).end,
        interval => candle.time + interval.duration(),
    }
}

/// Puts one-minute candles (one for each time, ordered, as [`prefer`] returns them) together to wider ones of `to`: first
/// open, highest high, lowest low, last close, volumes and ticks added up. The volume is unknown where that of a part is. The
/// result is a provider's where all parts are, and final where all parts are.
pub fn rollup(minutes: &[Candle], to: Interval) -> Vec<Candle> {
    let mut wide: Vec<Candle> = Vec::new();
    for minute in minutes {
        let time = open_time(minute, to);
        match wide.last_mut().filter(|last| last.symbol == minute.symbol && last.time == time) {
            Some(Candle(last)) => {
                last.high = last.high.max(minute.high);
                last.low = last.low.min(minute.low);
                last.close = minute.close;
                last.volume = last.volume.zip(minute.volume).map(|(sum, part)| sum.saturating_add(part));
                last.ticks = last.ticks.saturating_add(minute.ticks);
                last.is_final &= minute.is_final;
                if minute.source.origin == CandleOrigin::Ticks {
                    last.source = minute.source;
                }
            }
            None => wide.push(Candle(CandleFields { interval: to, time, ..**minute })),
        }
    }
    for Candle(candle) in &mut wide {
        candle.volume = candle.volume.map(round_significant);
    }
    wide
}
