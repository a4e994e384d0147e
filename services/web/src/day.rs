//! The last day of a symbol, minute by minute: what sparklines and mean volumes are made of.

use std::{collections::BTreeMap, fmt::Write};

use chrono::{DateTime, Utc};
use market::{AssetClass, Candle, decimal_to_f64};
use serde::Serialize;

use crate::session;

/// Minutes kept; the oldest goes first.
const MAX_MINUTES: usize = 1_440;
/// Most points of a sparkline.
const MAX_POINTS: i64 = 72;
/// Minutes whose volume is set against its mean.
const VOLUME_MINUTES: i64 = 5;
/// Spans of [`VOLUME_MINUTES`] that must be known before a mean says anything.
const MIN_SPANS: i64 = 3;

/// Width and height of a sparkline's view box.
pub(crate) const SPARK_SIZE: (f64, f64) = (100.0, 32.0);

/// Closes and volumes of up to a day of minutes.
#[derive(Debug)]
pub(crate) struct Day {
    class: AssetClass,
    /// Close and, where it is known, volume by minute since the epoch.
    minutes: BTreeMap<i64, (f64, Option<f64>)>,
}

/// The points of a sparkline, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spark {
    /// Seconds that a point stands for.
    pub(crate) bucket_seconds: i64,
    /// The last point's bucket: seconds since the epoch / `bucket_seconds`.
    pub(crate) last_bucket: i64,
    /// The last close of each bucket.
    pub(crate) closes: Vec<f64>,
}

impl Day {
    pub(crate) fn new(class: AssetClass) -> Self {
        Self { class, minutes: BTreeMap::new() }
    }

    /// Takes in a one-minute bar, replacing what was known of its minute. `false` where it changes nothing.
    pub(crate) fn put(&mut self, bar: &Candle) -> bool {
        let minute = bar.time.timestamp().div_euclid(60);
        let value = (decimal_to_f64(bar.close), bar.volume.map(decimal_to_f64));
        let is_too_old = self.minutes.len() >= MAX_MINUTES
            && self.minutes.first_key_value().is_some_and(|(first, _)| minute < *first);
        if is_too_old || self.minutes.insert(minute, value) == Some(value) {
            return false;
        }
        if self.minutes.len() > MAX_MINUTES {
            self.minutes.pop_first();
        }
        true
    }

    /// The sparkline: crypto the last 24 hours, stocks the trading day of the last bar.
    pub(crate) fn spark(&self) -> Spark {
        let Some((last, _)) = self.minutes.last_key_value() else {
            return Spark::default();
        };
        let shown: Vec<(i64, f64)> = self
            .minutes
            .range(last - MAX_MINUTES as i64 + 1..)
            .filter(|(minute, _)| session::same_day(self.class, minute_time(**minute), minute_time(*last)))
            .map(|(minute, (close, _))| (*minute, *close))
            .collect();
        let span = shown.first().map_or(1, |(first, _)| last - first + 1);
        let bucket = (span + MAX_POINTS - 1) / MAX_POINTS;
        let mut closes: Vec<(i64, f64)> = Vec::new();
        for (minute, close) in shown {
            let at = minute.div_euclid(bucket);
            match closes.last_mut() {
                Some((known, value)) if *known == at => *value = close,
                _ => closes.push((at, close)),
            }
        }
        Spark {
            bucket_seconds: bucket * 60,
            last_bucket: closes.last().map_or(0, |(at, _)| *at),
            closes: closes.into_iter().map(|(_, close)| close).collect(),
        }
    }

    /// Volume of the last full minutes against the mean of as many over the day; `None` where one of them is unknown.
    pub(crate) fn relative_volume(&self) -> Option<f64> {
        let (first, last) = (*self.minutes.first_key_value()?.0, *self.minutes.last_key_value()?.0);
        let known: Vec<f64> = self.minutes.values().filter_map(|(_, volume)| *volume).collect();
        let spans = (known.len() as i64 / VOLUME_MINUTES) as f64;
        if spans < MIN_SPANS as f64 || last - first < VOLUME_MINUTES {
            return None;
        }
        let recent: f64 = self
            .minutes
            .range(last - VOLUME_MINUTES + 1..)
            .map(|(_, (_, volume))| *volume)
            .sum::<Option<f64>>()?;
        let mean = known.iter().sum::<f64>() / (known.len() as f64 / VOLUME_MINUTES as f64);
        (mean > 0.0).then(|| recent / mean)
    }
}

fn minute_time(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(minute * 60, 0).unwrap_or_default()
}

impl Spark {
    /// The `d` of an SVG path through the points, in a box of [`SPARK_SIZE`]; empty below two points.
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        if self.closes.len() < 2 {
            return path;
        }
        let low = self.closes.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.closes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (width, height) = SPARK_SIZE;
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
