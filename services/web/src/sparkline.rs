//! The last day of a symbol, minute by minute: the data of its sparkline and of its mean volume.

use std::{collections::BTreeMap, fmt::Write};

use chrono::{DateTime, Utc};
use market::{AssetClass, Candle, CandleOrigin, day_bounds, decimal_to_f64};
use serde::Serialize;

/// Minutes kept for each symbol; the oldest is dropped first.
pub(crate) const MAX_MINUTES: usize = 1_440;
/// Most points of a sparkline.
const MAX_POINTS: i64 = 72;
/// Minutes whose volume is compared with its mean.
const VOLUME_MINUTES: i64 = 5;
/// Spans of [`VOLUME_MINUTES`] that must be known before a mean is computed.
const MIN_SPANS: usize = 3;

/// Width and height of a sparkline's view box.
pub(crate) const SPARKLINE_SIZE: (f64, f64) = (100.0, 32.0);

/// Closes and volumes of up to a day of minutes.
#[derive(Debug)]
pub(crate) struct RecentMinutes {
    class: AssetClass,
    /// By minute since the epoch.
    minutes: BTreeMap<i64, Minute>,
}

/// What is shown of a one-minute candle.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Minute {
    close: f64,
    /// `None` where it is unknown.
    volume: Option<f64>,
    origin: CandleOrigin,
}

/// The points of a sparkline, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sparkline {
    /// Seconds that one point covers.
    pub(crate) point_seconds: i64,
    /// Number of the last point: seconds since the epoch / `point_seconds`.
    pub(crate) last_point: i64,
    /// The last close within each point.
    pub(crate) closes: Vec<f64>,
}

impl RecentMinutes {
    pub(crate) fn new(class: AssetClass) -> Self {
        Self { class, minutes: BTreeMap::new() }
    }

    /// Adds a one-minute candle, replacing what was known of its minute, unless that is preferred. `false` where it changes
    /// nothing.
    pub(crate) fn put(&mut self, candle: &Candle) -> bool {
        let number = candle.time.timestamp().div_euclid(60);
        let minute = Minute {
            close: decimal_to_f64(candle.close),
            volume: candle.volume.map(decimal_to_f64),
            origin: candle.source.origin,
        };
        let is_too_old = self.minutes.len() >= MAX_MINUTES
            && self.minutes.first_key_value().is_some_and(|(first, _)| number < *first);
        let is_preferred =
            self.minutes.get(&number).is_none_or(|known| minute.origin <= known.origin && minute != *known);
        if is_too_old || !is_preferred {
            return false;
        }
        self.minutes.insert(number, minute);
        if self.minutes.len() > MAX_MINUTES {
            self.minutes.pop_first();
        }
        true
    }

    /// The sparkline: crypto the last 24 hours, stocks the trading day of the last candle.
    pub(crate) fn sparkline(&self) -> Sparkline {
        let Some((last, _)) = self.minutes.last_key_value() else {
            return Sparkline::default();
        };
        let mut first = last - MAX_MINUTES as i64 + 1;
        if self.class == AssetClass::Stock {
            let day = day_bounds(self.class, minute_time(*last));
            first = first.max(day.start.timestamp().div_euclid(60));
        }
        let shown: Vec<(i64, f64)> =
            self.minutes.range(first..).map(|(number, minute)| (*number, minute.close)).collect();
        let span = shown.first().map_or(1, |(first, _)| last - first + 1);
        let point_minutes = (span + MAX_POINTS - 1) / MAX_POINTS;
        let mut closes: Vec<(i64, f64)> = Vec::new();
        for (minute, close) in shown {
            let point = minute.div_euclid(point_minutes);
            match closes.last_mut() {
                Some((known, value)) if *known == point => *value = close,
                _ => closes.push((point, close)),
            }
        }
        Sparkline {
            point_seconds: point_minutes * 60,
            last_point: closes.last().map_or(0, |(point, _)| *point),
            closes: closes.into_iter().map(|(_, close)| close).collect(),
        }
    }

    /// Volume of the last [`VOLUME_MINUTES`] over the mean of as many minutes of the day. `None` while too few minutes
    /// are known, and where the volume of one of the last is unknown.
    pub(crate) fn relative_volume(&self) -> Option<f64> {
        let (first, last) = (*self.minutes.first_key_value()?.0, *self.minutes.last_key_value()?.0);
        let known: Vec<f64> = self.minutes.values().filter_map(|minute| minute.volume).collect();
        if known.len() / (VOLUME_MINUTES as usize) < MIN_SPANS || last - first < VOLUME_MINUTES {
            return None;
        }
        let recent: Option<f64> =
            self.minutes.range(last - VOLUME_MINUTES + 1..).map(|(_, minute)| minute.volume).sum();
        let mean = known.iter().sum::<f64>() / (known.len() as f64 / VOLUME_MINUTES as f64);
        recent.filter(|_| mean > 0.0).map(|recent| recent / mean)
    }
}

fn minute_time(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(minute * 60, 0).unwrap_or_default()
}

impl Sparkline {
    /// The `d` of an SVG path through the points, in a box of [`SPARKLINE_SIZE`]; empty below two points.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        if self.closes.len() < 2 {
            return path;
        }
        let low = self.closes.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.closes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (width, height) = SPARKLINE_SIZE;
        for (index, close) in self.closes.iter().enumerate() {
            let x = width * index as f64 / (self.closes.len() - 1) as f64;
            // A day without movement is a line through the middle; a margin of 1 keeps strokes inside.
            let y =
                if high > low { 1.0 + (height - 2.0) * (high - close) / (high - low) } else { height / 2.0 };
            let command = if index == 0 { 'M' } else { 'L' };
            // Writing to a String cannot fail.
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relative_volume_is_unknown_where_a_recent_volume_is() {
        let minutes = |volume_of: fn(i64) -> Option<f64>| {
            let minute =
                |number| Minute { close: 100.0, volume: volume_of(number), origin: CandleOrigin::Provider };
            let minutes = (0..20).map(|number| (number, minute(number))).collect();
            RecentMinutes { class: AssetClass::Crypto, minutes }.relative_volume()
        };
        assert_eq!(minutes(|_| Some(10.0)), Some(1.0));
        assert_eq!(minutes(|minute| (minute != 18).then_some(10.0)), None, "one of the last five");
        let early = minutes(|minute| (minute != 2).then_some(10.0));
        assert!(
            early.is_some_and(|ratio| (ratio - 1.0).abs() < 1e-9),
            "the mean of the known ones: {early:?}"
        );
        assert_eq!(minutes(|_| None), None);
        assert_eq!(minutes(|_| Some(0.0)), None, "no mean to compare with");
    }
}
