//! A trading day of a symbol, from its ticks and candles. Pure.

use analytics_store::DailyAggregate;
use chrono::{DateTime, NaiveDate, Utc};
use indicators::{Deviation, deviation, log_return};
use market::{Candle, CandleOrigin, Interval, Symbol, Tick, decimal_from_f64, decimal_to_f64};
use rust_decimal::Decimal;

/// Decimal places of stored prices and volumes.
const PLACES: u32 = 8;
/// Figures of minutes need so many of them: a day of which only a few prices are known, as one that is replayed from its daily candle,
/// has none.
const MIN_MINUTES: usize = 30;

/// What the ticks of a day amount to; one value for a day of any length.
#[derive(Clone, Debug, Default)]
pub(crate) struct TickSums {
    count: u64,
    first: Option<Tick>,
    last: Option<Tick>,
    high: Decimal,
    low: Decimal,
    price_sum: Decimal,
    /// Sum of price times size, and of the sizes; `None` once a tick has no size.
    sized: Option<(Decimal, Decimal)>,
    /// Welford's mean and sum of squared differences of the prices.
    mean: f64,
    squares: f64,
}

impl TickSums {
    /// The volume that the last tick quotes; `None` without a tick, and where the feed quotes none.
    fn last_total(&self) -> Option<Decimal> {
        self.last.map(|last| last.volume).filter(|volume| !volume.is_zero())
    }

    /// Takes the next tick, in the order of time.
    pub(crate) fn add(&mut self, tick: &Tick) {
        let price = decimal_to_f64(tick.price);
        self.sized = match self.first {
            None => tick.size.and_then(|size| Some((tick.price.checked_mul(size)?, size))),
            Some(_) => self.sized.zip(tick.size).and_then(|((value, sizes), size)| {
                let traded = tick.price.checked_mul(size)?;
                Some((value.checked_add(traded)?, sizes.checked_add(size)?))
            }),
        };
        self.high = self.high.max(tick.price);
        self.low = if self.first.is_none() { tick.price } else { self.low.min(tick.price) };
        self.first.get_or_insert(*tick);
        self.last = Some(*tick);
        self.count += 1;
        self.price_sum = self.price_sum.saturating_add(tick.price);
        let before = price - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (price - self.mean);
    }

    /// How many ticks.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    fn volatility(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares.max(0.0) / (self.count - 1) as f64).sqrt())
    }

    fn average(&self) -> Option<Decimal> {
        self.price_sum.checked_div(Decimal::from(self.count))
    }

    fn vwap(&self) -> Option<Decimal> {
        let (value, sizes) = self.sized?;
        value.checked_div(sizes)
    }
}

/// Everything that is known of a day.
pub(crate) struct Day<'a> {
    pub(crate) symbol: Symbol,
    pub(crate) date: NaiveDate,
    pub(crate) ticks: &'a TickSums,
    /// Its daily candle, as a chart shows it.
    pub(crate) candle: Option<Candle>,
    /// Its one-minute candles, as a chart shows them.
    pub(crate) minutes: &'a [Candle],
}

impl Day<'_> {
    /// The row without its indicators; `None` for a day without ticks and candles.
    ///
    /// Prices and volume are those of the daily candle, which also covers what came before the ticks began; without one, those of
    /// the ticks. A candle that the consumer made of fewer ticks than are stored lacks late ones, or is about to be replaced: the prices
    /// of the ticks count, too.
    pub(crate) fn aggregate(&self, computed_at: DateTime<Utc>) -> Option<DailyAggregate> {
        let ticks = self.ticks;
        let (open, high, low, close) = match (&self.candle, ticks.first, ticks.last) {
            (Some(candle), Some(_), Some(last)) if lacks_ticks(candle, ticks) => {
                (candle.open, candle.high.max(ticks.high), candle.low.min(ticks.low), last.price)
            }
            (Some(candle), ..) => (candle.open, candle.high, candle.low, candle.close),
            (None, Some(first), Some(last)) => (first.price, ticks.high, ticks.low, last.price),
            _ => return None,
        };
        let third = || (high.saturating_add(low).saturating_add(close)).checked_div(Decimal::from(3));
        let total_volume =
            self.candle.and_then(|candle| candle.volume).or_else(|| ticks.last_total()).map(rounded);
        let (opened, closed) = (decimal_to_f64(open), decimal_to_f64(close));
        Some(DailyAggregate {
            date: self.date,
            symbol: self.symbol,
            open_price: rounded(open),
            close_price: rounded(close),
            high_price: rounded(high),
            low_price: rounded(low),
            avg_price: rounded(ticks.average().or_else(third)?),
            vwap: ticks.vwap().map(rounded),
            total_volume,
            avg_volume: self.minute_volume().map(rounded),
            volatility: ticks.volatility(),
            intraday_volatility: self.minute_volatility(),
            daily_change_pct: (closed / opened - 1.0) * 100.0,
            sma_20: None,
            rsi_14: None,
            ticks: ticks.count,
            source: self.source()?,
            computed_at,
        })
    }

    /// Mean volume of the minutes of which it is known.
    fn minute_volume(&self) -> Option<Decimal> {
        let volumes: Vec<Decimal> = self.minutes.iter().filter_map(|minute| minute.volume).collect();
        if volumes.len() < MIN_MINUTES {
            return None;
        }
        let add = |sum: Decimal, volume: &Decimal| sum.checked_add(*volume);
        volumes.iter().try_fold(Decimal::ZERO, add)?.checked_div(Decimal::from(volumes.len()))
    }

    /// Deviation of the log returns from one minute to the next. A return over a gap is not one of a minute.
    fn minute_volatility(&self) -> Option<f64> {
        let pairs = self.minutes.iter().zip(self.minutes.iter().skip(1));
        let returns: Vec<f64> = pairs
            .filter(|(before, minute)| minute.time - before.time == Interval::Minute.duration())
            .filter_map(|(before, minute)| {
                log_return(decimal_to_f64(before.close), decimal_to_f64(minute.close))
            })
            .collect();
        if returns.len() < MIN_MINUTES { None } else { deviation(&returns, Deviation::Sample) }
    }

    fn source(&self) -> Option<String> {
        match (ticks_feed(self.ticks), &self.candle) {
            (Some(feed), _) => Some(feed),
            (None, Some(candle)) => Some(format!("{}/1d", candle.source.feed)),
            (None, None) => None,
        }
    }
}

/// What a provider quotes is complete, however few of its ticks are stored.
fn lacks_ticks(candle: &Candle, ticks: &TickSums) -> bool {
    candle.source.origin != CandleOrigin::Provider && candle.ticks < ticks.count
}

fn ticks_feed(ticks: &TickSums) -> Option<String> {
    ticks.last.map(|last| last.source.to_string())
}

/// A row that was computed, and of what.
pub(crate) struct ComputedDay {
    pub(crate) row: DailyAggregate,
    /// Prices and volume are those of a daily candle.
    pub(crate) has_candle: bool,
    pub(crate) has_minutes: bool,
}

/// The row of a day that may have one already. Ticks and minutes of old days are removed: what followed from them stays as it was
/// stored while they were there.
pub(crate) fn with_pruned(
    computed: Option<ComputedDay>,
    known: Option<&DailyAggregate>,
) -> Option<DailyAggregate> {
    let Some(known) = known else { return computed.map(|computed| computed.row) };
    let Some(ComputedDay { mut row, has_candle, has_minutes }) = computed else { return Some(known.clone()) };
    let lacks_ticks = row.ticks < known.ticks;
    if lacks_ticks && !has_candle {
        return Some(known.clone());
    }
    if lacks_ticks {
        (row.avg_price, row.vwap, row.volatility) = (known.avg_price, known.vwap, known.volatility);
        (row.ticks, row.source) = (known.ticks, known.source.clone());
        row.total_volume = row.total_volume.or(known.total_volume);
    }
    // Without minutes the mean of a minute is the total.
    if lacks_ticks || (!has_minutes && known.avg_volume != known.total_volume) {
        (row.avg_volume, row.intraday_volatility) = (known.avg_volume, known.intraday_volatility);
    }
    Some(row)
}

/// Whether a row has the prices, and the volume where there is one, of its daily candle.
pub(crate) fn has_prices_of(row: &DailyAggregate, candle: &Candle) -> bool {
    let of_row = [row.open_price, row.high_price, row.low_price, row.close_price];
    of_row == [candle.open, candle.high, candle.low, candle.close].map(rounded)
        && candle.volume.is_none_or(|volume| row.total_volume == Some(rounded(volume)))
}

/// To the places that are stored, and the digits that a double holds: both databases return the same.
fn rounded(value: Decimal) -> Decimal {
    let value = value.round_dp(PLACES);
    decimal_from_f64(decimal_to_f64(value)).unwrap_or(value).round_dp(PLACES).normalize()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use market::{CandleFields, CandleOrigin, CandleSource, Source};

    use super::*;

    /// A minute after so many minutes of a day.
    fn minute(after: i64, close: i64, volume: Option<i64>) -> Candle {
        let close = Decimal::from(close);
        let day: DateTime<Utc> = "2026-01-13T14:30:00Z".parse().expect("a time");
        Candle::new(CandleFields {
            symbol: Symbol::parse("AAPL").expect("a symbol"),
            interval: Interval::Minute,
            time: day + TimeDelta::minutes(after),
            open: close,
            high: close,
            low: close,
            close,
            volume: volume.map(Decimal::from),
            ticks: 1,
            source: CandleSource {
                feed: Source::parse("replay").expect("a source"),
                origin: CandleOrigin::Ticks,
            },
            is_final: true,
        })
        .expect("a candle")
    }

    fn figures(minutes: &[Candle]) -> (Option<Decimal>, Option<f64>) {
        let first = minutes.first().copied();
        let (symbol, date) = first.map(|first| (first.symbol, first.time.date_naive())).expect("a minute");
        let day = Day { symbol, date, ticks: &TickSums::default(), candle: first, minutes };
        let row = day.aggregate(DateTime::UNIX_EPOCH).expect("a row");
        (row.avg_volume, row.intraday_volatility)
    }

    #[test]
    fn the_four_prices_of_a_replayed_daily_candle_are_not_its_minutes() {
        let four = [0, 130, 260, 389].map(|after| minute(after, 100 + after, Some(1_000)));
        assert_eq!(figures(&four), (None, None));
        let apart: Vec<Candle> = (0..100).map(|place| minute(place * 2, 100 + place, Some(7))).collect();
        assert_eq!(figures(&apart), (Some(Decimal::from(7)), None), "no two minutes follow each other");
    }

    #[test]
    fn figures_of_minutes_are_those_of_the_known_ones() {
        // A return of every minute: up and down by the same factor.
        let swings = (0..31).map(|place| minute(place, 100 + place % 2, (place > 0).then_some(place)));
        let (volume, volatility) = figures(&swings.collect::<Vec<_>>());
        assert_eq!(volume, Some(Decimal::from(31) / Decimal::from(2)));
        let expected = 1.01_f64.ln() * (30.0_f64 / 29.0).sqrt();
        assert!((volatility.expect("30 returns") - expected).abs() < 1e-12, "{volatility:?}");
    }
}
