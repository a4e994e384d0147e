//! A seeded market: correlated geometric Brownian motion with fat tails, volume with a daily shape. Pure.
//!
//! Log returns over a time dt are `sigma sqrt(dt) (rho M + sqrt(1 - rho^2) Z)`: M is one normal factor that all symbols
//! share, Z is each symbol's own Student t noise of four degrees of freedom, scaled to unit variance.

use chrono::{DateTime, TimeDelta, Utc};
use market::{
    AssetClass, Candle, CandleFields, CandleOrigin, CandleSource, DayBounds, Interval, Source, Symbol, Tick,
    TickError, TickFields, day_bounds, decimal_to_f64,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, StudentT};
use rust_decimal::Decimal;

/// Seconds of a year that never closes: volatilities are quoted per square root of it.
const YEAR_SECONDS: f64 = 365.0 * 86_400.0;
/// How much of a symbol's movement is the market's.
const CORRELATION: f64 = 0.6;
const FREEDOM: f64 = 4.0;
/// Standard deviation of a Student t of four degrees of freedom: `sqrt(nu / (nu - 2))`.
const T_DEVIATION: f64 = std::f64::consts::SQRT_2;
/// Moves within a candle of history.
const STEPS_PER_CANDLE: i32 = 6;
/// Prices stay within these, whatever the noise does: above zero, and exact in 15 digits.
const PRICE_RANGE: (f64, f64) = (0.000_01, 10_000_000.0);

/// Where well-known symbols start, in their quote currency.
const KNOWN: [(&str, f64); 20] = [
    ("AAPL", 262.0),
    ("MSFT", 487.0),
    ("NVDA", 186.0),
    ("AMZN", 231.0),
    ("GOOGL", 303.0),
    ("META", 612.0),
    ("TSLA", 402.0),
    ("BRK.B", 498.0),
    ("JPM", 305.0),
    ("V", 338.0),
    ("AMD", 214.0),
    ("NFLX", 109.0),
    ("BTC/USDT", 91_250.0),
    ("ETH/USDT", 3_020.0),
    ("SOL/USDT", 138.0),
    ("BNB/USDT", 872.0),
    ("XRP/USDT", 2.05),
    ("ADA/USDT", 0.43),
    ("DOGE/USDT", 0.152),
    ("BTC/USD", 91_240.0),
];

/// The market.
pub(crate) struct Market {
    random: ChaCha8Rng,
    noise: StudentT<f64>,
    /// The common factor's path, in square roots of seconds, as of `factor_at`.
    factor: f64,
    factor_at: DateTime<Utc>,
    series: Vec<Series>,
    source: Source,
}

/// One symbol.
struct Series {
    symbol: Symbol,
    price: f64,
    /// Volatility a year.
    sigma: f64,
    /// Mean volume of a day, in shares or base currency.
    daily_volume: f64,
    /// The factor and the moment of its last move.
    factor: f64,
    moved_at: DateTime<Utc>,
    day: Day,
    last_seq: u64,
}

/// A trading day so far.
struct Day {
    bounds: DayBounds,
    /// The price before the day: the reference of `change_percent`.
    reference: f64,
    open: f64,
    high: f64,
    low: f64,
    volume: f64,
    /// The volume before the last move.
    volume_before: f64,
}

impl Day {
    fn begin(bounds: DayBounds, price: f64) -> Self {
        let (volume, volume_before) = (0.0, 0.0);
        Self { bounds, reference: price, open: price, high: price, low: price, volume, volume_before }
    }
}

impl Market {
    /// A market of these symbols, as of `start`. The same seed, symbols and calls give the same prices.
    pub(crate) fn new(symbols: &[Symbol], seed: u64, source: Source, start: DateTime<Utc>) -> Option<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let series = symbols.iter().map(|symbol| Series::new(*symbol, &mut random, start)).collect();
        let noise = StudentT::new(FREEDOM).ok()?;
        Some(Self { random, noise, factor: 0.0, factor_at: start, series, source })
    }

    /// How many symbols.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// The symbol in a place.
    pub(crate) fn symbol(&self, place: usize) -> Option<Symbol> {
        self.series.get(place).map(|series| series.symbol)
    }

    /// Goes on from a tick of an earlier run.
    pub(crate) fn go_on_from(&mut self, tick: &Tick) {
        let Some(series) = self.series.iter_mut().find(|series| series.symbol == tick.symbol) else { return };
        series.price = decimal_to_f64(tick.price);
        series.moved_at = tick.timestamp;
        series.day = Day {
            bounds: day_bounds(tick.asset_class(), tick.timestamp),
            reference: series.price / (1.0 + tick.change_percent / 100.0),
            open: decimal_to_f64(tick.open),
            high: decimal_to_f64(tick.high),
            low: decimal_to_f64(tick.low),
            volume: decimal_to_f64(tick.volume),
            volume_before: decimal_to_f64(tick.volume),
        };
    }

    /// Sequence numbers of this run lie above `seq`.
    pub(crate) fn above(&mut self, seq: u64) {
        for series in &mut self.series {
            series.last_seq = series.last_seq.max(seq);
        }
    }

    /// When the symbol in a place last moved.
    pub(crate) fn moved_at(&self, place: usize) -> Option<DateTime<Utc>> {
        self.series.get(place).map(|series| series.moved_at)
    }

    /// The one-minute candle from `time` on, of the symbol in a place; its price continues from there.
    pub(crate) fn candle(&mut self, place: usize, time: DateTime<Utc>) -> Option<Candle> {
        let step = TimeDelta::minutes(1) / STEPS_PER_CANDLE;
        // A candle opens at the close of the one before.
        let (mut prices, mut volume) = (vec![self.series.get(place)?.price], 0.0);
        for n in 1..=STEPS_PER_CANDLE {
            let before = self.series.get(place)?.day.volume;
            // The last step stays within the minute.
            let moment = time + step * n - TimeDelta::milliseconds(1);
            self.advance(place, moment);
            let series = self.series.get(place)?;
            volume += (series.day.volume - before).max(0.0);
            prices.push(series.price);
        }
        let series = self.series.get(place)?;
        let (high, low) =
            prices.iter().fold((f64::MIN, f64::MAX), |(high, low), p| (high.max(*p), low.min(*p)));
        Candle::new(CandleFields {
            symbol: series.symbol,
            interval: Interval::Minute,
            time,
            open: series.rounded(*prices.first()?),
            high: series.rounded(high),
            low: series.rounded(low),
            close: series.rounded(*prices.last()?),
            volume: Some(series.rounded_volume(volume)),
            ticks: 0,
            source: CandleSource { feed: self.source, origin: CandleOrigin::Provider },
            is_final: true,
        })
        .ok()
    }

    /// The next tick of the symbol in a place: it happened at `at` and was seen at `received_at`.
    pub(crate) fn tick(
        &mut self,
        place: usize,
        at: DateTime<Utc>,
        received_at: DateTime<Utc>,
    ) -> Option<Result<Tick, TickError>> {
        self.advance(place, at);
        let source = self.source;
        let series = self.series.get_mut(place)?;
        series.last_seq = (series.last_seq + 1).max(received_at.timestamp_micros().unsigned_abs());
        let day = &series.day;
        let change = (series.price / day.reference - 1.0) * 100.0;
        Some(Tick::new(TickFields {
            symbol: series.symbol,
            timestamp: at,
            price: series.rounded(series.price),
            volume: series.rounded_volume(day.volume),
            open: series.rounded(day.open),
            high: series.rounded(day.high),
            low: series.rounded(day.low),
            // Differences of the rounded totals add up to them.
            size: Some(series.rounded_volume(day.volume) - series.rounded_volume(day.volume_before)),
            change_percent: (change * 1e4).round() / 1e4,
            source,
            received_at,
            seq: series.last_seq,
        }))
    }

    fn advance(&mut self, place: usize, now: DateTime<Utc>) {
        let passed = seconds(now - self.factor_at);
        if passed > 0.0 {
            let normal: f64 = StandardNormal.sample(&mut self.random);
            self.factor += passed.sqrt() * normal;
        }
        if !(-CORRECTED_CLOCK_SECONDS..=0.0).contains(&passed) {
            self.factor_at = now;
        }
        let own = self.noise.sample(&mut self.random) / T_DEVIATION;
        // Trade sizes are log-normal with mean one.
        let size_normal: f64 = StandardNormal.sample(&mut self.random);
        let size = (0.8 * size_normal - 0.32).exp();
        let factor = self.factor;
        if let Some(series) = self.series.get_mut(place) {
            series.advance(now, factor, own, size);
        }
    }
}

/// Time that goes back by more than this is a clock that was set: prices move on from there.
const CORRECTED_CLOCK_SECONDS: f64 = 10.0;

fn seconds(span: TimeDelta) -> f64 {
    span.num_microseconds().unwrap_or(0) as f64 / 1e6
}

impl Series {
    fn new(symbol: Symbol, random: &mut ChaCha8Rng, start: DateTime<Utc>) -> Self {
        let class = symbol.asset_class();
        let known = KNOWN.iter().find(|(name, _)| *name == symbol.as_str());
        // Drawn even where they are not used, so that one symbol more does not change the others' paths.
        let (drawn_price, drawn_sigma): (f64, f64) =
            (random.random_range(20.0..400.0), random.random_range(0.0..1.0));
        let price = known.map_or(drawn_price, |(_, price)| *price);
        let (sigma, turnover) = match class {
            AssetClass::Stock => (0.22 + 0.3 * drawn_sigma, 8e9),
            AssetClass::Crypto => (0.45 + 0.4 * drawn_sigma, 2e9),
        };
        Self {
            symbol,
            price,
            sigma,
            daily_volume: turnover / price,
            factor: 0.0,
            moved_at: start,
            day: Day::begin(day_bounds(class, start), price),
            last_seq: 0,
        }
    }

    fn advance(&mut self, now: DateTime<Utc>, factor: f64, own: f64, size: f64) {
        let passed = seconds(now - self.moved_at).max(0.0);
        // A long break is a time without trades: the price moves for an hour of it at most.
        let traded = passed.min(3_600.0);
        let common = (factor - self.factor).clamp(-5.0 * traded.sqrt(), 5.0 * traded.sqrt());
        let moved = CORRELATION * common + (1.0 - CORRELATION * CORRELATION).sqrt() * own * traded.sqrt();
        let sigma = self.sigma / YEAR_SECONDS.sqrt();
        self.price = (self.price * (sigma * moved).exp()).clamp(PRICE_RANGE.0, PRICE_RANGE.1);
        let is_set_back = seconds(self.moved_at - now) > CORRECTED_CLOCK_SECONDS;
        (self.factor, self.moved_at) = (factor, if is_set_back { now } else { now.max(self.moved_at) });
        if !self.day.bounds.holds(now) {
            self.day = Day::begin(day_bounds(self.symbol.asset_class(), now), self.price);
        }
        let day = &mut self.day;
        day.high = day.high.max(self.price);
        day.low = day.low.min(self.price);
        day.volume_before = day.volume;
        day.volume += self.daily_volume * daily_shape(&day.bounds, now) * traded / 86_400.0 * size;
    }

    /// To the tick size: a cent for stocks; for crypto about six digits.
    fn rounded(&self, price: f64) -> Decimal {
        let digits = match self.symbol.asset_class() {
            AssetClass::Stock => 2,
            AssetClass::Crypto => (5.0 - price.log10().floor()).clamp(2.0, 8.0) as u32,
        };
        let units = (price * 10_f64.powi(digits as i32)).round().max(1.0);
        Decimal::new(units as i64, digits)
    }

    /// Whole shares; base currency to four digits.
    fn rounded_volume(&self, volume: f64) -> Decimal {
        let digits = if self.symbol.asset_class() == AssetClass::Stock { 0 } else { 4 };
        Decimal::new((volume * 10_f64.powi(digits)).round() as i64, digits.unsigned_abs())
    }
}

/// Trading is busiest at the ends of a day and quietest in its middle; one on average: `0.5 + 6 (x - 1/2)^2`.
fn daily_shape(day: &DayBounds, now: DateTime<Utc>) -> f64 {
    let place = seconds(now - day.start) / seconds(day.end - day.start).max(1.0);
    0.5 + 6.0 * (place - 0.5) * (place - 0.5)
}
