//! Ticks to candles, as they come.

use std::{cmp::Ordering, collections::HashMap};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{
    AssetClass, Candle, CandleFields, CandleOrigin, CandleSource, Interval, Source, Symbol, Tick,
    day::{DayBounds, day_bounds},
    decimal::round_significant,
};

/// Ticks may be at most so late, in seconds.
pub const MAX_LATENESS_SECONDS: u32 = 60;

/// Orders the ticks of one series: by their time, then by their number.
type Order = (DateTime<Utc>, u64);

/// Builds the candles of every (symbol, feed) it is given ticks of, at several intervals at once.
///
/// - A bar's open is the price of its first tick by (timestamp, seq), its close that of its last.
/// - Its volume is the sum of the sizes of its ticks. Where a tick has no size, a stock's volume follows from the quoted
///   running totals: of a day, its last total; of a shorter interval, its last total less the last one before it in the same
///   session. It is unknown where there is no such total, or where the total fell. The rolling 24 h figure of a crypto pair is
///   no running total: without sizes the volume is unknown.
/// - A bar closes when the newest timestamp of its series has passed its end by the allowed lateness, or when the series
///   has been quiet for so long ([`CandleBuilder::advance`]). A tick that comes after that is late: it is not applied.
///
/// Its whole state can be taken out ([`CandleBuilder::state`]) and put back: the rest of the ticks then gives the same
/// candles as without the interruption.
#[derive(Clone, Debug, PartialEq)]
pub struct CandleBuilder {
    intervals: Vec<Interval>,
    lateness: TimeDelta,
    series: HashMap<(Symbol, Source), Series>,
}

/// The state of a [`CandleBuilder`], for a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuilderState {
    intervals: Vec<Interval>,
    lateness_seconds: i64,
    series: Vec<Series>,
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in all its bars.
    Counted,
    /// At least one of its bars was closed already.
    Late,
}

/// One symbol of one feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Series {
    symbol: Symbol,
    source: Source,
    /// The newest tick: its place in the order, its cumulative volume.
    newest: Newest,
    /// When the newest tick was applied, by our clock.
    seen_at: DateTime<Utc>,
    /// Bars in progress, at most a few of each interval.
    open: Vec<Bucket>,
    /// For each interval, the end of the last bar that was closed.
    closed_until: Vec<DateTime<Utc>>,
    day: DayBounds,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Newest {
    order: Order,
    volume: Decimal,
}

/// A bar in progress.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Bucket {
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
    /// The running total before the bar, and the tick that it comes from: the newest known from before its start.
    before: Option<(Order, Decimal)>,
    /// Sum of the sizes; `None` once a tick has none.
    #[serde(default)]
    sizes: Option<Decimal>,
    ticks: u64,
}

impl CandleBuilder {
    /// For these intervals; ticks may be `lateness_seconds` late, at most [`MAX_LATENESS_SECONDS`].
    pub fn new(intervals: &[Interval], lateness_seconds: u32) -> Self {
        Self {
            intervals: distinct(intervals),
            lateness: TimeDelta::seconds(i64::from(lateness_seconds.min(MAX_LATENESS_SECONDS))),
            series: HashMap::new(),
        }
    }

    /// Goes on where a state was taken.
    pub fn restore(state: BuilderState) -> Self {
        let lateness = state.lateness_seconds.clamp(0, i64::from(MAX_LATENESS_SECONDS));
        // A series that contradicts the rest of its state begins afresh.
        let fits = |series: &Series| series.closed_until.len() == state.intervals.len();
        Self {
            lateness: TimeDelta::seconds(lateness),
            series: state
                .series
                .into_iter()
                .filter(fits)
                .map(|series| ((series.symbol, series.source), series))
                .collect(),
            intervals: state.intervals,
        }
    }

    /// Builds these intervals from here on. Bars in progress of intervals no longer wanted are given up; those of new
    /// ones begin with the next tick, so that their first bar knows only the rest of its time.
    pub fn set_intervals(&mut self, intervals: &[Interval]) {
        let intervals = distinct(intervals);
        for series in self.series.values_mut() {
            let known = self.intervals.iter().zip(&series.closed_until);
            let until =
                |wanted| known.clone().find(|(interval, _)| **interval == wanted).map(|(_, until)| *until);
            series.closed_until =
                intervals.iter().map(|wanted| until(*wanted).unwrap_or(DateTime::<Utc>::MIN_UTC)).collect();
            series.open.retain(|bucket| intervals.contains(&bucket.interval));
        }
        self.intervals = intervals;
    }

    /// Everything it knows.
    pub fn state(&self) -> BuilderState {
        let mut series: Vec<Series> = self.series.values().cloned().collect();
        series.sort_by_key(|series| (series.symbol, series.source));
        BuilderState {
            intervals: self.intervals.clone(),
            lateness_seconds: self.lateness.num_seconds(),
            series,
        }
    }

    /// The symbols of which it has ticks, each once for every feed.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> {
        self.series.values().map(|series| series.symbol)
    }

    /// Takes over the series of another builder that `is_ours` names, where they have come further than ours; how many. The
    /// other one is not read from any more, or both would close the same bars: where it is again, [`CandleBuilder::let_go`].
    /// Doing it again changes nothing.
    pub fn inherit(&mut self, other: BuilderState, is_ours: impl Fn(Symbol) -> bool) -> usize {
        let mut inherited = 0;
        if other.intervals != self.intervals {
            return inherited;
        }
        for (key, theirs) in Self::restore(other).series {
            let is_behind = |ours: &Series| ours.newest.order < theirs.newest.order;
            if is_ours(theirs.symbol) && self.series.get(&key).is_none_or(is_behind) {
                self.series.insert(key, theirs);
                inherited += 1;
            }
        }
        inherited
    }

    /// Gives up the series that another builder, from which others go on, has too: where it has come further, or as far and
    /// `is_ours` does not name them; how many. What is left of them here would replace the bars of the other one.
    pub fn let_go(&mut self, other: &BuilderState, is_ours: impl Fn(Symbol) -> bool) -> usize {
        let before = self.series.len();
        for theirs in &other.series {
            let goes_on_there = |ours: &Series| match theirs.newest.order.cmp(&ours.newest.order) {
                Ordering::Greater => true,
                Ordering::Equal => !is_ours(ours.symbol),
                Ordering::Less => false,
            };
            let key = (theirs.symbol, theirs.source);
            if self.series.get(&key).is_some_and(goes_on_there) {
                self.series.remove(&key);
            }
        }
        before - self.series.len()
    }

    /// Counts a tick in its bars; bars that its time closes are appended to `closed`, oldest first. `now` is when the
    /// tick is handled: from it a quiet series is told.
    pub fn apply(&mut self, tick: &Tick, now: DateTime<Utc>, closed: &mut Vec<Candle>) -> Applied {
        let key = (tick.symbol, tick.source);
        let series = self.series.entry(key).or_insert_with(|| Series::new(tick, now, self.intervals.len()));
        let applied = series.apply(tick, now, &self.intervals, self.lateness);
        series.close_until(series.newest.order.0 - self.lateness, &self.intervals, closed);
        applied
    }

    /// Closes the bars of series that have gone quiet: the time of a series goes on from its newest tick as our clock
    /// does, so that recordings are closed in their own time.
    pub fn advance(&mut self, now: DateTime<Utc>, closed: &mut Vec<Candle>) {
        for series in self.series.values_mut() {
            series.close_until(series.quiet_time(now, self.lateness), &self.intervals, closed);
        }
    }

    /// Nobody is taken for quiet because of the time before `now`: whoever saw the series last may have had another clock,
    /// or ticks could not come.
    pub fn see_all(&mut self, now: DateTime<Utc>) {
        for series in self.series.values_mut() {
            series.seen_at = now;
        }
    }

    /// Whether [`CandleBuilder::advance`] would close a bar.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.series.values().any(|series| series.is_due(series.quiet_time(now, self.lateness)))
    }

    /// The bars in progress, not final, by symbol, feed, interval and time.
    pub fn open_candles(&self) -> Vec<Candle> {
        let mut candles: Vec<Candle> = self.series.values().flat_map(Series::open_candles).collect();
        candles.sort_by_key(|candle| (candle.symbol, candle.source, candle.interval, candle.time));
        candles
    }

    /// The bars in progress of one symbol, of all feeds.
    pub fn open_candles_of(&self, symbol: Symbol) -> Vec<Candle> {
        let mut candles: Vec<Candle> = self
            .series
            .values()
            .filter(|series| series.symbol == symbol)
            .flat_map(Series::open_candles)
            .collect();
        candles.sort_by_key(|candle| (candle.source, candle.interval, candle.time));
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

    fn apply(
        &mut self,
        tick: &Tick,
        now: DateTime<Utc>,
        intervals: &[Interval],
        lateness: TimeDelta,
    ) -> Applied {
        let order = (tick.timestamp, tick.seq);
        if !self.day.holds(tick.timestamp) {
            self.day = day_bounds(tick.asset_class(), tick.timestamp);
        }
        let day = self.day;
        let mut applied = Applied::Counted;
        for (interval, closed_until) in intervals.iter().zip(&self.closed_until) {
            let (time, start, end) = bounds(*interval, tick.timestamp, &day);
            if start < *closed_until || end + lateness <= self.newest.order.0 {
                applied = Applied::Late;
                continue;
            }
            let same = |bucket: &&mut Bucket| bucket.interval == *interval && bucket.start == start;
            if let Some(bucket) = self.open.iter_mut().find(same) {
                bucket.add(tick, order);
            } else {
                let before = self.volume_before(*interval, start);
                self.open.push(Bucket::new(*interval, (time, start, end), day.date, tick, before));
            }
            // Only now: a new bar asked the later ones what they knew without this tick.
            let is_later = |bucket: &&mut Bucket| bucket.interval == *interval && bucket.start > order.0;
            for later in self.open.iter_mut().filter(is_later) {
                later.learn_before(order, tick.volume);
            }
        }
        if order >= self.newest.order {
            self.newest = Newest { order, volume: tick.volume };
            self.seen_at = now;
        }
        applied
    }

    /// The newest tick known from before `start`, where a bar is about to begin, and its cumulative volume. A bar that
    /// begins out of order finds it with the next later bar: between the two there is none.
    fn volume_before(&self, interval: Interval, start: DateTime<Utc>) -> Option<(Order, Decimal)> {
        let later = self.open.iter().filter(|bucket| bucket.interval == interval && bucket.start > start);
        let before = match later.min_by_key(|bucket| bucket.start) {
            Some(next) => next.before,
            None => Some((self.newest.order, self.newest.volume)),
        };
        before.filter(|(order, _)| order.0 < start)
    }

    /// Up to when bars may be closed if nothing came since the newest tick.
    fn quiet_time(&self, now: DateTime<Utc>, lateness: TimeDelta) -> DateTime<Utc> {
        self.newest.order.0 + (now - self.seen_at).max(TimeDelta::zero()) - lateness
    }

    fn is_due(&self, time: DateTime<Utc>) -> bool {
        self.open.iter().any(|bucket| bucket.end <= time)
    }

    fn close_until(&mut self, time: DateTime<Utc>, intervals: &[Interval], closed: &mut Vec<Candle>) {
        if !self.is_due(time) {
            return;
        }
        self.open.sort_by_key(|bucket| (bucket.start, bucket.interval));
        for bucket in self.open.extract_if(.., |bucket| bucket.end <= time) {
            if let Some(place) = intervals.iter().position(|interval| *interval == bucket.interval)
                && let Some(until) = self.closed_until.get_mut(place)
            {
                *until = (*until).max(bucket.end);
            }
            closed.push(bucket.candle(self.symbol, self.source, true));
        }
    }

    fn open_candles(&self) -> impl Iterator<Item = Candle> {
        self.open.iter().map(|bucket| bucket.candle(self.symbol, self.source, false))
    }
}

/// A bar's label, first moment and end (exclusive).
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

impl Bucket {
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

    /// A tick of an earlier bar came after this bar had begun: it may tell the volume before this bar better.
    fn learn_before(&mut self, order: Order, volume: Decimal) {
        if self.before.is_none_or(|(known, _)| known < order) {
            self.before = Some((order, volume));
        }
    }

    fn volume(&self, class: AssetClass) -> Option<Decimal> {
        if self.sizes.is_some() || class == AssetClass::Crypto {
            return self.sizes;
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
