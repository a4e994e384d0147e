//! Builds candles from ticks, in the order in which the ticks arrive.

use std::{cmp::Ordering, collections::HashMap};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    AssetClass, Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, Tick,
    day::{DayBounds, day_bounds},
    decimal::round_significant,
};

/// How long a candle is kept open past its end. Settings of the running program: no state holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandleTiming {
    /// Tolerance for late ticks: a candle closes when its series has a tick this far past the candle's end.
    pub late_tick_tolerance: TimeDelta,
    /// Idle timeout: without further ticks, a candle closes when this much time has passed since its end. Between ticks the
    /// time of a series goes on from its newest tick, at the pace of the caller's clock.
    pub idle_timeout: TimeDelta,
}

impl CandleTiming {
    /// After so much time past its end a candle is closed, unless its ticks come late.
    pub(crate) fn longest(self) -> TimeDelta {
        self.late_tick_tolerance + self.idle_timeout
    }
}

impl Default for CandleTiming {
    /// Five seconds each.
    fn default() -> Self {
        Self { late_tick_tolerance: TimeDelta::seconds(5), idle_timeout: TimeDelta::seconds(5) }
    }
}

/// A series whose newest tick is ahead of the caller's clock by more than this begins anew with a tick that is older by more than
/// this: the clock that gave the times was fast, and has been corrected. One minute.
const CORRECTED_CLOCK: TimeDelta = TimeDelta::minutes(1);

/// Orders the ticks of one series: by their time, then by their number.
type Order = (DateTime<Utc>, u64);

/// Builds the candles of every series (the ticks of one symbol and feed), at several intervals at once.
///
/// - A candle's open is the price of its first tick by (timestamp, seq), its close that of its last.
/// - Its volume is the sum of the sizes of its ticks. Where a tick has no size, a stock's volume follows from the quoted
///   running totals: of a day, its last total; of a shorter interval, its last total less the last one before it in the same
///   session. It is unknown where there is no such total, or where the total fell, or is 0: a feed without volumes has 0 in all its
///   ticks. The rolling 24 h figure of a crypto pair is no running total: without sizes the volume is unknown.
/// - A candle closes by [`CandleTiming`]: when a tick is past its end ([`CandleBuilder::apply`]), or when its series is idle
///   ([`CandleBuilder::advance`]). A tick that comes after that is late: it is not applied.
/// - A clock that was fast and is corrected does not stop the candles: the series begins anew, and candles that were built ahead of
///   the clock are replaced when their time comes.
///
/// The state can be taken out ([`CandleBuilder::state`]) and restored: the rest of the ticks then gives the same candles as
/// without the interruption.
#[derive(Clone, Debug, PartialEq)]
pub struct CandleBuilder {
    intervals: Vec<Interval>,
    timing: CandleTiming,
    series: HashMap<(Symbol, Source), Series>,
}

/// The state of a [`CandleBuilder`], for a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuilderState {
    /// First, so that a state of an unknown version is refused before the rest of it is read.
    #[serde(default)]
    version: StateVersion,
    /// What `closed_until` of each series refers to, in this order.
    intervals: Vec<Interval>,
    series: Vec<Series>,
}

/// The version of a [`BuilderState`]. Version 0 had no number, and no sizes of trades: it is read as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32")]
struct StateVersion(u32);

/// The version that is written, and the newest that is read.
const STATE_VERSION: StateVersion = StateVersion(1);

/// A state that a newer program wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the state of the candles has version {0}, and this program reads versions up to {newest}: upgrade it",
    newest = STATE_VERSION.0
)]
struct UnknownStateVersion(u32);

impl TryFrom<u32> for StateVersion {
    type Error = UnknownStateVersion;

    fn try_from(version: u32) -> Result<Self, UnknownStateVersion> {
        if version <= STATE_VERSION.0 { Ok(Self(version)) } else { Err(UnknownStateVersion(version)) }
    }
}

/// The result of applying a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in all its candles.
    Counted,
    /// At least one of its candles was closed already.
    Late,
}

/// One symbol of one feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Series {
    symbol: Symbol,
    source: Source,
    /// The newest tick: its place in the order, its running total.
    newest: Newest,
    /// Start of the idle timer: when the newest tick was applied, by the caller's clock.
    seen_at: DateTime<Utc>,
    /// Candles in progress, at most a few of each interval.
    open: Vec<OpenCandle>,
    /// For each interval, the end of the last candle that was closed.
    closed_until: Vec<DateTime<Utc>>,
    day: DayBounds,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Newest {
    order: Order,
    volume: Decimal,
}

/// A candle in progress.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct OpenCandle {
    interval: Interval,
    time: DateTime<Utc>,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    day: NaiveDate,
    first: Order,
    last: Order,
    open: Decimal,
    high: Decimal,
    low: Decimal,
    close: Decimal,
    /// The running total of the last tick.
    last_volume: Decimal,
    /// The running total before the candle, and the tick that it comes from: the newest known from before its start.
    before: Option<(Order, Decimal)>,
    /// Sum of the sizes; `None` once a tick has none.
    #[serde(default)]
    sizes: Option<Decimal>,
    ticks: u64,
}

impl CandleBuilder {
    /// Without any series.
    pub fn new(intervals: &[Interval], timing: CandleTiming) -> Self {
        Self { intervals: distinct(intervals), timing, series: HashMap::new() }
    }

    /// Continues from a state. Candles in progress of other intervals are dropped; the first candle of an interval that the
    /// state does not have covers only the rest of its time.
    pub fn restore(state: BuilderState, intervals: &[Interval], timing: CandleTiming) -> Self {
        let mut builder = Self::new(intervals, timing);
        let intervals = &builder.intervals;
        // A series that contradicts the rest of its state is left out, and starts empty.
        let fits = |series: &Series| series.closed_until.len() == state.intervals.len();
        for mut series in state.series.into_iter().filter(fits) {
            let known: Vec<_> = state.intervals.iter().zip(&series.closed_until).collect();
            let until = |wanted: &Interval| {
                known.iter().find(|(interval, _)| *interval == wanted).map(|(_, until)| **until)
            };
            series.closed_until =
                intervals.iter().map(|wanted| until(wanted).unwrap_or(DateTime::<Utc>::MIN_UTC)).collect();
            series.open.retain(|candle| intervals.contains(&candle.interval));
            builder.series.insert((series.symbol, series.source), series);
        }
        builder
    }

    /// The series, for a checkpoint.
    pub fn state(&self) -> BuilderState {
        let mut series: Vec<Series> = self.series.values().cloned().collect();
        series.sort_by_key(|series| (series.symbol, series.source));
        BuilderState { version: STATE_VERSION, intervals: self.intervals.clone(), series }
    }

    /// The symbol of each series: once for every feed.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.series.values().map(|series| series.symbol)
    }

    /// Takes over the series of another builder for which `is_ours` holds, where they are further than ours; returns how
    /// many. The other builder must not continue, or both would close the same candles; should it continue after all,
    /// [`CandleBuilder::release`] undoes this. Idempotent. Takes nothing where the intervals differ.
    pub fn adopt(&mut self, other: BuilderState, is_ours: impl Fn(Symbol) -> bool) -> usize {
        let mut adopted = 0;
        if other.intervals != self.intervals {
            return adopted;
        }
        for (key, theirs) in Self::restore(other, &self.intervals, self.timing).series {
            let is_behind = |ours: &Series| ours.newest.order < theirs.newest.order;
            if is_ours(theirs.symbol) && self.series.get(&key).is_none_or(is_behind) {
                self.series.insert(key, theirs);
                adopted += 1;
            }
        }
        adopted
    }

    /// Drops the series that another builder has and continues: those that are further there, or as far and not `is_ours`;
    /// returns how many. What is left of them here would replace the candles of the other builder.
    pub fn release(&mut self, other: &BuilderState, is_ours: impl Fn(Symbol) -> bool) -> usize {
        let before = self.series.len();
        for theirs in &other.series {
            let continues_there = |ours: &Series| match theirs.newest.order.cmp(&ours.newest.order) {
                Ordering::Greater => true,
                Ordering::Equal => !is_ours(ours.symbol),
                Ordering::Less => false,
            };
            let key = (theirs.symbol, theirs.source);
            if self.series.get(&key).is_some_and(continues_there) {
                self.series.remove(&key);
            }
        }
        before - self.series.len()
    }

    /// Counts a tick in its candles; candles that it closes are appended to `closed`, oldest first. `now` is the time by
    /// the caller's clock: it starts the idle timer of the series.
    pub fn apply(&mut self, tick: &Tick, now: DateTime<Utc>, closed: &mut Vec<Candle>) -> Applied {
        let key = (tick.symbol, tick.source);
        let series = self.series.entry(key).or_insert_with(|| Series::new(tick, now, self.intervals.len()));
        let newest = series.newest.order.0;
        if newest > now + CORRECTED_CLOCK && newest > tick.timestamp + CORRECTED_CLOCK {
            series.begin_anew(tick, now, &self.intervals);
        }
        let tolerance = self.timing.late_tick_tolerance;
        let applied = series.apply(tick, now, &self.intervals, tolerance);
        series.close_until(series.newest.order.0 - tolerance, &self.intervals, closed);
        applied
    }

    /// Closes the candles of idle series. The time of a series goes on from its newest tick, so that the candles of a recording
    /// close in the recording's time.
    pub fn advance(&mut self, now: DateTime<Utc>, closed: &mut Vec<Candle>) {
        for series in self.series.values_mut() {
            series.close_until(series.idle_time(now, self.timing.idle_timeout), &self.intervals, closed);
        }
    }

    /// Resets the idle timer of every series: time that elapsed before `now` is not idleness. For a state that another
    /// clock has written, and for times when ticks could not come.
    pub fn reset_idle_timers(&mut self, now: DateTime<Utc>) {
        for series in self.series.values_mut() {
            series.seen_at = now;
        }
    }

    /// Whether [`CandleBuilder::advance`] would close a candle.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.series.values().any(|series| series.is_due(series.idle_time(now, self.timing.idle_timeout)))
    }

    /// The candles in progress, not final, by symbol, feed, interval and time.
    pub fn open_candles(&self) -> Vec<Candle> {
        let mut candles: Vec<Candle> = self.series.values().flat_map(Series::open_candles).collect();
        candles.sort_by_key(|candle| (candle.symbol, candle.source, candle.interval, candle.time));
        candles
    }
}

/// Each once, narrowest first: an interval named twice must not count its ticks twice.
fn distinct(intervals: &[Interval]) -> Vec<Interval> {
    let mut intervals = intervals.to_vec();
    intervals.sort();
    intervals.dedup();
    intervals
}

impl Series {
    fn new(tick: &Tick, now: DateTime<Utc>, intervals: usize) -> Self {
        let day = day_bounds(tick.asset_class(), tick.timestamp);
        Self {
            symbol: tick.symbol,
            source: tick.source,
            newest: Newest { order: (tick.timestamp, tick.seq), volume: tick.volume },
            seen_at: now,
            open: Vec::new(),
            closed_until: vec![DateTime::<Utc>::MIN_UTC; intervals],
            day,
        }
    }

    /// Continues from a tick that is older than what was built. A candle of the tick's own interval that was closed stays closed:
    /// its rest would replace the whole.
    fn begin_anew(&mut self, tick: &Tick, now: DateTime<Utc>, intervals: &[Interval]) {
        let anew = Self::new(tick, now, intervals.len());
        let end = |interval: &Interval| bounds(*interval, tick.timestamp, &anew.day).2;
        let closed_until = intervals
            .iter()
            .zip(&self.closed_until)
            .map(|(interval, until)| (*until).min(end(interval)))
            .collect();
        *self = Self { closed_until, ..anew };
    }

    fn apply(
        &mut self,
        tick: &Tick,
        now: DateTime<Utc>,
        intervals: &[Interval],
        late_tick_tolerance: TimeDelta,
    ) -> Applied {
        let order = (tick.timestamp, tick.seq);
        if !self.day.holds(tick.timestamp) {
            self.day = day_bounds(tick.asset_class(), tick.timestamp);
        }
        let day = self.day;
        let mut applied = Applied::Counted;
        for (interval, closed_until) in intervals.iter().zip(&self.closed_until) {
            let (time, start, end) = bounds(*interval, tick.timestamp, &day);
            if start < *closed_until || end + late_tick_tolerance <= self.newest.order.0 {
                applied = Applied::Late;
                continue;
            }
            let same = |candle: &&mut OpenCandle| candle.interval == *interval && candle.start == start;
            if let Some(candle) = self.open.iter_mut().find(same) {
                candle.add(tick, order);
            } else {
                let before = self.total_before(*interval, start);
                self.open.push(OpenCandle::new(*interval, (time, start, end), day.date, tick, before));
            }
            // Only now: `total_before` needs the later candles as they were without this tick.
            let is_later = |candle: &&mut OpenCandle| candle.interval == *interval && candle.start > order.0;
            for later in self.open.iter_mut().filter(is_later) {
                later.set_total_before(order, tick.volume);
            }
        }
        if order >= self.newest.order {
            self.newest = Newest { order, volume: tick.volume };
            self.seen_at = now;
        }
        applied
    }

    /// The newest tick from before `start`, where a candle is about to begin, and its running total. A candle that begins out of
    /// order takes that of the next later candle: between the two there is no tick.
    fn total_before(&self, interval: Interval, start: DateTime<Utc>) -> Option<(Order, Decimal)> {
        let later = self.open.iter().filter(|candle| candle.interval == interval && candle.start > start);
        let before = match later.min_by_key(|candle| candle.start) {
            Some(next) => next.before,
            None => Some((self.newest.order, self.newest.volume)),
        };
        before.filter(|(order, _)| order.0 < start)
    }

    /// Candles that ended by then are closed if nothing came since the newest tick.
    fn idle_time(&self, now: DateTime<Utc>, idle_timeout: TimeDelta) -> DateTime<Utc> {
        self.newest.order.0 + (now - self.seen_at).max(TimeDelta::zero()) - idle_timeout
    }

    fn is_due(&self, time: DateTime<Utc>) -> bool {
        self.open.iter().any(|candle| candle.end <= time)
    }

    fn close_until(&mut self, time: DateTime<Utc>, intervals: &[Interval], closed: &mut Vec<Candle>) {
        if !self.is_due(time) {
            return;
        }
        self.open.sort_by_key(|candle| (candle.start, candle.interval));
        for candle in self.open.extract_if(.., |candle| candle.end <= time) {
            if let Some(place) = intervals.iter().position(|interval| *interval == candle.interval)
                && let Some(until) = self.closed_until.get_mut(place)
            {
                *until = (*until).max(candle.end);
            }
            closed.push(candle.candle(self.symbol, self.source, true));
        }
    }

    fn open_candles(&self) -> impl Iterator<Item = Candle> {
        self.open.iter().map(|candle| candle.candle(self.symbol, self.source, false))
    }
}

/// A candle's open time, first moment and end (exclusive).
fn bounds(
    interval: Interval,
    time: DateTime<Utc>,
    day: &DayBounds,
) -> (DateTime<Utc>, DateTime<Utc>, DateTime<Utc>) {
    if interval == Interval::Day {
        return (day.label(), day.start, day.end);
    }
    let start = interval.floor(time);
    (start, start, start + interval.duration())
}

impl OpenCandle {
    fn new(
        interval: Interval,
        (time, start, end): (DateTime<Utc>, DateTime<Utc>, DateTime<Utc>),
        day: NaiveDate,
        tick: &Tick,
        before: Option<(Order, Decimal)>,
    ) -> Self {
        let order = (tick.timestamp, tick.seq);
        Self {
            interval,
            time,
            start,
            end,
            day,
            first: order,
            last: order,
            open: tick.price,
            high: tick.price,
            low: tick.price,
            close: tick.price,
            last_volume: tick.volume,
            before,
            sizes: tick.size,
            ticks: 1,
        }
    }

    fn add(&mut self, tick: &Tick, order: Order) {
        self.ticks += 1;
        self.high = self.high.max(tick.price);
        self.low = self.low.min(tick.price);
        self.sizes = self.sizes.zip(tick.size).and_then(|(sum, size)| sum.checked_add(size));
        if order < self.first {
            (self.first, self.open) = (order, tick.price);
        }
        if order >= self.last {
            (self.last, self.close, self.last_volume) = (order, tick.price, tick.volume);
        }
    }

    /// A tick of an earlier candle came after this one had begun: its running total may be a newer one.
    fn set_total_before(&mut self, order: Order, volume: Decimal) {
        if self.before.is_none_or(|(known, _)| known < order) {
            self.before = Some((order, volume));
        }
    }

    fn volume(&self, class: AssetClass) -> Option<Decimal> {
        if self.sizes.is_some() || class == AssetClass::Crypto {
            return self.sizes;
        }
        // The price of a stock comes of a trade: a session without any volume is one whose feed quotes none.
        if self.last_volume.is_zero() {
            return None;
        }
        if self.interval == Interval::Day {
            return Some(self.last_volume);
        }
        let (order, before) = self.before?;
        let is_same_session = day_bounds(class, order.0).date == self.day;
        let grown = self.last_volume - before;
        (is_same_session && grown >= Decimal::ZERO).then_some(grown)
    }

    fn candle(&self, symbol: Symbol, feed: Source, is_final: bool) -> Candle {
        // Its prices are those of checked ticks.
        Candle(CandleFields {
            symbol,
            interval: self.interval,
            time: self.time,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: self.volume(symbol.asset_class()).map(round_significant),
            ticks: self.ticks,
            source: CandleSource { feed, origin: CandleOrigin::Ticks },
            is_final,
        })
    }
}
