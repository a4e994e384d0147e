//! Figures that a person reads on `/system` and a machine at `/metrics`, recorded once for both.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, OnceLock},
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use hdrhistogram::Histogram;
use metrics::{Counter, Label, counter, gauge, histogram};
use topics::names::figure;

use crate::locked::locked;

/// Rates are means over about so many seconds.
const RATE_SECONDS: u64 = 10;
/// Between two marks of a counter, however often it is read.
const MARK_SECONDS: u64 = 1;
/// Quantiles are those of the last so many seconds.
const QUANTILE_SECONDS: u64 = 60;
/// The time of the quantiles is kept in so many slices; the oldest is dropped whole.
const SLICES: u64 = 12;

/// Names and values, as [`Figures::read`] adds them.
pub(crate) type Reading = BTreeMap<String, f64>;

/// Something that contributes to a status.
pub trait Figures: Send + Sync {
    /// Begins to export it at `/metrics` as a figure of `service`.
    fn export(&self, service: &str);

    /// Adds its values under its name.
    fn read(&self, into: &mut Reading);
}

/// The name of a figure, with at most one label.
struct Name {
    name: &'static str,
    label: Option<(&'static str, String)>,
}

impl Name {
    fn labels(&self, service: Option<&str>) -> Vec<Label> {
        let service = service.map(|service| Label::new("service", service.to_owned()));
        service
            .into_iter()
            .chain(self.label.iter().map(|(key, value)| Label::new(*key, value.clone())))
            .collect()
    }

    /// `tapedeck_ticks_received_total{binance}`, of a derived name.
    fn key(&self, derived: &str) -> String {
        self.label.as_ref().map_or_else(|| derived.to_owned(), |(_, value)| format!("{derived}{{{value}}}"))
    }
}

/// Counts events: a Prometheus counter, and the rate of the last ten seconds.
pub struct Meter {
    name: Name,
    exported: OnceLock<Counter>,
    counted: Mutex<Counted>,
}

struct Counted {
    total: u64,
    /// (moment, total then), oldest first; at most one a second, and those of the last ten seconds.
    marks: VecDeque<(Instant, u64)>,
}

impl Counted {
    /// The rate per second since the oldest mark.
    fn rate(&mut self, now: Instant) -> f64 {
        let since = |then: &Instant| now.saturating_duration_since(*then);
        if self.marks.back().is_none_or(|(then, _)| since(then) >= Duration::from_secs(MARK_SECONDS)) {
            self.marks.push_back((now, self.total));
        }
        let window = Duration::from_secs(RATE_SECONDS);
        while self.marks.get(1).is_some_and(|(then, _)| since(then) >= window) {
            self.marks.pop_front();
        }
        let Some((then, earlier)) = self.marks.front() else { return 0.0 };
        let seconds = since(then).as_secs_f64();
        if seconds > 0.0 { (self.total - earlier) as f64 / seconds } else { 0.0 }
    }
}

impl Meter {
    /// A counter without label; `name` ends in `_total`.
    pub fn new(name: &'static str) -> Self {
        Self::named(Name { name, label: None })
    }

    /// A counter with one label.
    pub fn labelled(name: &'static str, key: &'static str, value: &str) -> Self {
        Self::named(Name { name, label: Some((key, value.to_owned())) })
    }

    fn named(name: Name) -> Self {
        let counted = Counted { total: 0, marks: VecDeque::from([(Instant::now(), 0)]) };
        Self { name, exported: OnceLock::new(), counted: Mutex::new(counted) }
    }

    fn exported(&self, service: Option<&str>) -> &Counter {
        self.exported.get_or_init(|| counter!(self.name.name, self.name.labels(service)))
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        if n > 0 {
            self.exported(None).increment(n);
            locked(&self.counted).total += n;
        }
    }

    /// All since the start.
    pub fn total(&self) -> u64 {
        locked(&self.counted).total
    }
}

impl Figures for Meter {
    fn export(&self, service: &str) {
        // So that it is there before the first event.
        self.exported(Some(service)).absolute(0);
    }

    fn read(&self, into: &mut Reading) {
        let mut counted = locked(&self.counted);
        let (total, rate) = (counted.total, counted.rate(Instant::now()));
        drop(counted);
        into.insert(self.name.key(self.name.name), total as f64);
        into.insert(self.name.key(&figure::per_second(self.name.name)), rate);
    }
}

/// A value that rises and falls: a Prometheus gauge.
pub struct Gauge {
    name: Name,
    exported: OnceLock<metrics::Gauge>,
    value: Mutex<f64>,
}

impl Gauge {
    /// Without label, with the value 0; `name` ends in a unit.
    pub fn new(name: &'static str) -> Self {
        Self { name: Name { name, label: None }, exported: OnceLock::new(), value: Mutex::new(0.0) }
    }

    fn exported(&self, service: Option<&str>) -> &metrics::Gauge {
        self.exported.get_or_init(|| gauge!(self.name.name, self.name.labels(service)))
    }

    /// The value now.
    pub fn set(&self, value: f64) {
        self.exported(None).set(value);
        *locked(&self.value) = value;
    }
}

impl Figures for Gauge {
    fn export(&self, service: &str) {
        self.exported(Some(service)).set(0.0);
    }

    fn read(&self, into: &mut Reading) {
        into.insert(self.name.key(self.name.name), *locked(&self.value));
    }
}

/// Latencies: a Prometheus summary in seconds, and p50, p99 and maximum of the last minute in milliseconds.
pub struct Latency {
    name: Name,
    exported: OnceLock<metrics::Histogram>,
    slices: Mutex<VecDeque<(Instant, Histogram<u64>)>>,
}

impl Latency {
    /// Without label; `name` ends in `_seconds`.
    pub fn new(name: &'static str) -> Self {
        Self::named(Name { name, label: None })
    }

    /// With one label.
    pub fn labelled(name: &'static str, key: &'static str, value: &str) -> Self {
        Self::named(Name { name, label: Some((key, value.to_owned())) })
    }

    fn named(name: Name) -> Self {
        Self { name, exported: OnceLock::new(), slices: Mutex::new(VecDeque::new()) }
    }

    fn exported(&self, service: Option<&str>) -> &metrics::Histogram {
        self.exported.get_or_init(|| histogram!(self.name.name, self.name.labels(service)))
    }

    /// Observations of live events. Negative ones (clocks that differ) count as zero. Those of an hour and more do not
    /// count: they are replayed recordings, or come from a clock that is so far behind, which its heartbeats show
    /// (`/system`).
    pub fn record_live(&self, latencies: impl IntoIterator<Item = TimeDelta>) {
        let now = Instant::now();
        let mut slices = locked(&self.slices);
        forget_old(&mut slices, now);
        let slice = Duration::from_secs(QUANTILE_SECONDS / SLICES);
        if slices.back().is_none_or(|(begun, _)| now - *begun >= slice) {
            // Two significant digits, up to an hour: 1 to 3,600,000,000 us.
            let Ok(histogram) = Histogram::new_with_bounds(1, 3_600_000_000, 2) else { return };
            slices.push_back((now, histogram));
        }
        let Some((_, histogram)) = slices.back_mut() else { return };
        for latency in latencies.into_iter().filter(|latency| *latency < TimeDelta::hours(1)) {
            let micros = latency.num_microseconds().unwrap_or(0).max(1) as u64;
            histogram.saturating_record(micros);
            self.exported(None).record(micros as f64 / 1e6);
        }
    }
}

fn forget_old(slices: &mut VecDeque<(Instant, Histogram<u64>)>, now: Instant) {
    while slices.front().is_some_and(|(begun, _)| now - *begun > Duration::from_secs(QUANTILE_SECONDS)) {
        slices.pop_front();
    }
}

impl Figures for Latency {
    fn export(&self, service: &str) {
        self.exported(Some(service));
    }

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
        let (name, key) = (self.name.name, |derived: String| self.name.key(&derived));
        for (quantile, micros) in
            [("p50", all.value_at_quantile(0.5)), ("p99", all.value_at_quantile(0.99)), ("max", all.max())]
        {
            into.insert(key(figure::quantile_ms(name, quantile)), micros as f64 / 1e3);
        }
        into.insert(key(figure::count(name)), all.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_mean_of_ten_seconds_and_marks_stay_few_however_many_read_it() {
        let start = Instant::now();
        let mut counted = Counted { total: 0, marks: VecDeque::from([(start, 0)]) };
        let mut rate = 0.0;
        for tenth in 1..=600_u32 {
            counted.total += 5;
            // Several readers each time.
            for _ in 0..4 {
                rate = counted.rate(start + tenth * Duration::from_millis(100));
                assert!(counted.marks.len() <= 12, "{}", counted.marks.len());
            }
        }
        assert!((rate - 50.0).abs() < 1e-9, "{rate}");
        // What happened more than ten seconds before does not count.
        for second in 61..=72 {
            rate = counted.rate(start + Duration::from_secs(second));
        }
        assert!(rate.abs() < 1e-9, "{rate}");
    }
}
