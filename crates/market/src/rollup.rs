//! Narrow candles to wider ones, and the choice among candles of the same time.

use std::{cmp::Reverse, collections::BTreeMap};

use chrono::{DateTime, Utc};

use crate::{Candle, CandleFields, CandleOrigin, Interval, day::day_bounds, decimal::round_significant};

/// One candle for each (symbol, interval, time), ordered by it: a provider's candle before one built from ticks, then a final
/// one before one in progress, then the one with more ticks, then one whose volume is known, then the feed first in the
/// alphabet.
pub fn prefer(candles: &[Candle]) -> Vec<Candle> {
    let rank = |candle: &Candle| {
        let CandleFields { source, is_final, ticks, volume, .. } = **candle;
        (source.origin, !is_final, Reverse(ticks), volume.is_none(), source.feed)
    };
    let mut best: BTreeMap<_, Candle> = BTreeMap::new();
    for candle in candles {
        let held = best.entry((candle.symbol, candle.interval, candle.time)).or_insert(*candle);
        if rank(candle) < rank(held) {
            *held = *candle;
        }
    }
    best.into_values().collect()
}

/// The open time of the candle of width `to` that this one is a part of.
fn open_time(candle: &Candle, to: Interval) -> DateTime<Utc> {
    match to {
        Interval::Day => day_bounds(candle.symbol.asset_class(), candle.time).label(),
        _ => to.floor(candle.time),
    }
}

/// Puts one-minute candles (one for each time, ordered, as [`prefer`] returns them) together to wider ones of `to`: first
/// open, highest high, lowest low, last close, volumes and ticks added up. The volume is unknown where that of a part is. The
/// result is a provider's where all parts are, and final where all parts are and `now` is past its end.
pub fn rollup(minutes: &[Candle], to: Interval, now: DateTime<Utc>) -> Vec<Candle> {
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
        if to != Interval::Minute {
            let end = match to {
                Interval::Day => day_bounds(candle.symbol.asset_class(), candle.time + to.duration() / 2).end,
                _ => candle.time + to.duration(),
            };
            candle.is_final &= end <= now;
        }
    }
    wide
}
