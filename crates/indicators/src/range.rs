//! Average true range.

use std::num::NonZeroUsize;

use crate::average::Begun;

/// The prices of an interval that a range needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
}

/// Wilder's average true range: the true range (the greatest of high - low, |high - close before| and |low - close before|),
/// smoothed with the weight 1 / period and begun with the mean of the first `period` ranges. The first interval has no close
/// before it, and no range. As TA-Lib's `ATR`.
#[derive(Clone, Debug)]
pub struct Atr {
    before: Option<f64>,
    average: Begun,
}

impl Atr {
    /// Before any interval.
    pub fn new(period: NonZeroUsize) -> Self {
        Self { before: None, average: Begun::new(period) }
    }

    /// Takes an interval; the average, in the price's unit, from the `period` + 1st on.
    pub fn next(&mut self, Bar { high, low, close }: Bar) -> Option<f64> {
        if ![high, low, close].into_iter().all(f64::is_finite) {
            self.before = None;
            self.average.clear();
            return None;
        }
        let before = self.before.replace(close)?;
        let range = (high - low).max((high - before).abs()).max((low - before).abs());
        self.average.smooth(range)
    }
}

/// [`Atr`] at each interval of a slice.
pub fn atr(bars: &[Bar], period: NonZeroUsize) -> Vec<Option<f64>> {
    let mut atr = Atr::new(period);
    bars.iter().map(|bar| atr.next(*bar)).collect()
}
