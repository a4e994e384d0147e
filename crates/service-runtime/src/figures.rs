//! Figures that a person reads on `/system` and a machine at `/metrics`, recorded once for both.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use hdrhistogram::Histogram;
use metrics::{Counter, counter, histogram};

/// Rates and quantiles speak of the last so many seconds.
const WINDOW_SECONDS: u64 = 60;
/// A window is kept in so many slices; the oldest is dropped whole.
const SLICES: u64 = 12;

/// Names and values of the moment, as a [`Figures::read`] returns them.
pub(crate) type Reading = BTreeMap<String, f64>;

/// Something that contributes to a status snapshot.
pub trait Figures: Send + Sync {
    /// Adds its values under its name.
    fn read(&self, into: &mut Reading);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Figures stay readable when a recording thread panicked: they are plain numbers.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts events: a Prometheus counter, and the rate of the last minute.
pub struct Meter {
    name: &'static str,
    label: Option<(&'static str, String)>,
    exported: Counter,
    counted: Mutex<Counted>,
}

struct Counted {
    total: u64,
    /// (moment, total then), oldest first; bounded by the window.
    marks: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// A counter without label; `name` ends in `_total`.
    pub fn new(name: &'static str) -> Self {
        Self::with(name, None, counter!(name))
    }

    /// A counter with one label.
    pub fn labelled(name: &'static str, key: &'static str, value: &str) -> Self {
        let exported = counter!(name, key => value.to_owned());
        Self::with(name, Some((key, value.to_owned())), exported)
    }

    fn with(name: &'static str, label: Option<(&'static str, String)>, exported: Counter) -> Self {
        exported.absolute(0);
        let counted = Counted { total: 0, marks: VecDeque::from([(Instant::now(), 0)]) };
        Self { name, label, exported, counted: Mutex::new(counted) }
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        if n > 0 {
            self.exported.increment(n);
            locked(&self.counted).total += n;
        }
    }

    /// All since the start.
    pub fn total(&self) -> u64 {
        locked(&self.counted).total
    }
}

impl Figures for Meter {
    fn read(&self, into: &mut Reading) {
        let now = Instant::now();
        let mut counted = locked(&self.counted);
        let total = counted.total;
        counted.marks.push_back((now, total));
        let window = Duration::from_secs(10);
        while counted.marks.len() > 2 && counted.marks.get(1).is_some_and(|(then, _)| now - *then >= window) {
            counted.marks.pop_front();
        }
        let rate = counted.marks.front().map_or(0.0, |(then, earlier)| {
            let seconds = (now - *then).as_secs_f64();
            if seconds > 0.0 { (total - earlier) as f64 / seconds } else { 0.0 }
        });
        drop(counted);
        let suffix = self.label.as_ref().map_or(String::new(), |(_, value)| format!("{{{value}}}"));
        into.insert(format!("{}{suffix}", self.name), total as f64);
        let per_second = self.name.trim_end_matches("_total");
        into.insert(format!("{per_second}_per_second{suffix}"), rate);
    }
}

/// Latencies: a Prometheus summary in seconds, and p50, p99 and maximum of the last minute in milliseconds.
pub struct Latency {
    name: &'static str,
    exported: metrics::Histogram,
    slices: Mutex<VecDeque<(Instant, Histogram<u64>)>>,
}

impl Latency {
    /// `name` ends in `_seconds`.
    pub fn new(name: &'static str) -> Self {
        Self { name, exported: histogram!(name), slices: Mutex::new(VecDeque::new()) }
    }

    /// Observations of live events; negative ones (clocks that differ) count as zero, those of an hour and more do not
    /// count: they are replayed recordings, or by a clock that is so far behind, which its heartbeats show (`/system`).
    pub fn record_live(&self, latencies: impl IntoIterator<Item = TimeDelta>) {
        let now = Instant::now();
        let mut slices = locked(&self.slices);
        forget_old(&mut slices, now);
        let slice = Duration::from_secs(WINDOW_SECONDS / SLICES);
        if slices.back().is_none_or(|(begun, _)| now - *begun >= slice) {
            // Two significant digits, up to an hour: 1 to 3,600,000,000 us.
            let Ok(histogram) = Histogram::new_with_bounds(1, 3_600_000_000, 2) else { return };
            slices.push_back((now, histogram));
        }
        let Some((_, histogram)) = slices.back_mut() else { return };
        for latency in latencies.into_iter().filter(|latency| *latency < TimeDelta::hours(1)) {
            let micros = latency.num_microseconds().unwrap_or(0).max(1) as u64;
            histogram.saturating_record(micros);
            self.exported.record(micros as f64 / 1e6);
        }
    }
}

fn forget_old(slices: &mut VecDeque<(Instant, Histogram<u64>)>, now: Instant) {
    while slices.front().is_some_and(|(begun, _)| now - *begun > Duration::from_secs(WINDOW_SECONDS)) {
        slices.pop_front();
    }
}

impl Figures for Latency {
    fn read(&self, into: &mut Reading) {
        let mut slices = locked(&self.slices);
        forget_old(&mut slices, Instant::now());
        let Some((_, first)) = slices.front() else { return };
        let mut all = first.clone();
        for (_, slice) in slices.iter().skip(1) {
            // Same bounds, so adding cannot fail; were it to, the slice would be missing from one reading.
            let _ = all.add(slice);
        }
        drop(slices);
        let stem = self.name.trim_end_matches("_seconds");
        for (suffix, micros) in
            [("p50", all.value_at_quantile(0.5)), ("p99", all.value_at_quantile(0.99)), ("max", all.max())]
        {
            into.insert(format!("{stem}_{suffix}_ms"), micros as f64 / 1e3);
        }
        into.insert(format!("{stem}_count"), all.len() as f64);
    }
}
