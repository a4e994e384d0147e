//! Standard deviations.

use std::num::NonZeroUsize;

use crate::window::Window;

/// What the sum of squared differences is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// The number of values less one: an estimate from a sample. Needs two values.
    Sample,
    /// The number of values. As TA-Lib's `STDDEV` and Bollinger bands.
    Population,
}

impl Deviation {
    /// Of the sum of squared differences from the mean.
    fn of(self, squares: f64, count: usize) -> Option<f64> {
        let divisor = match self {
            Self::Sample => count.checked_sub(1)?,
            Self::Population => count,
        };
        (divisor > 0).then(|| (squares / divisor as f64).sqrt())
    }
}

/// Standard deviation of all values, in their unit; `None` where there are too few or one is not finite. Two passes.
pub fn deviation(values: &[f64], kind: Deviation) -> Option<f64> {
    if values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum();
    kind.of(squares, values.len())
}

/// Standard deviation of the last `period` values.
#[derive(Clone, Debug)]
pub struct RollingDeviation {
    kind: Deviation,
    period: NonZeroUsize,
    window: Window,
}

impl RollingDeviation {
    /// Before any value.
    pub fn new(period: NonZeroUsize, kind: Deviation) -> Self {
        Self { kind, period, window: Window::new(period) }
    }

    /// Takes a value; the deviation from the `period`-th on.
    pub fn next(&mut self, value: f64) -> Option<f64> {
        if !value.is_finite() {
            self.window.clear();
            return None;
        }
        self.window.push(value);
        self.kind.of(self.window.squares()?, self.period.get())
    }
}

/// [`RollingDeviation`] at each value of a slice.
pub fn rolling_deviation(values: &[f64], period: NonZeroUsize, kind: Deviation) -> Vec<Option<f64>> {
    let mut rolling = RollingDeviation::new(period, kind);
    values.iter().map(|value| rolling.next(*value)).collect()
}
