//! Moving averages.

use std::num::NonZeroUsize;

use crate::window::Window;

/// Simple moving average: the mean of the last `period` values. As TA-Lib's `SMA`.
#[derive(Clone, Debug)]
pub struct Sma(Window);

impl Sma {
    /// Before any value.
    pub fn new(period: NonZeroUsize) -> Self {
        Self(Window::new(period))
    }

    /// Takes a value; the average from the `period`-th on.
    pub fn next(&mut self, value: f64) -> Option<f64> {
        if !value.is_finite() {
            self.0.clear();
            return None;
        }
        self.0.push(value);
        self.0.mean()
    }
}

/// [`Sma`] at each value of a slice.
pub fn sma(values: &[f64], period: NonZeroUsize) -> Vec<Option<f64>> {
    let mut sma = Sma::new(period);
    values.iter().map(|value| sma.next(*value)).collect()
}

/// Exponential moving average with the weight 2 / (period + 1), begun with the mean of the first `period` values. As TA-Lib's `EMA`.
#[derive(Clone, Debug)]
pub struct Ema {
    weight: f64,
    state: Begun,
}

impl Ema {
    /// Before any value.
    pub fn new(period: NonZeroUsize) -> Self {
        Self { weight: 2.0 / (period.get() as f64 + 1.0), state: Begun::new(period) }
    }

    /// Takes a value; the average from the `period`-th on.
    pub fn next(&mut self, value: f64) -> Option<f64> {
        let weight = self.weight;
        self.state.next(value, |average| average + weight * (value - average))
    }
}

/// [`Ema`] at each value of a slice.
pub fn ema(values: &[f64], period: NonZeroUsize) -> Vec<Option<f64>> {
    let mut ema = Ema::new(period);
    values.iter().map(|value| ema.next(*value)).collect()
}

/// An average that begins with the mean of its first `period` values and goes on by recursion.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    period: NonZeroUsize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Collecting { count: usize, sum: f64 },
    Going { average: f64 },
}

impl Begun {
    pub(crate) fn new(period: NonZeroUsize) -> Self {
        Self { period, phase: Phase::Collecting { count: 0, sum: 0.0 } }
    }

    pub(crate) fn clear(&mut self) {
        self.phase = Phase::Collecting { count: 0, sum: 0.0 };
    }

    /// Takes a value; once begun, the average becomes what `step` makes of the one before.
    pub(crate) fn next(&mut self, value: f64, step: impl FnOnce(f64) -> f64) -> Option<f64> {
        if !value.is_finite() {
            self.clear();
            return None;
        }
        self.phase = match self.phase {
            Phase::Going { average } => Phase::Going { average: step(average) },
            Phase::Collecting { count, sum } if count + 1 == self.period.get() => {
                Phase::Going { average: (sum + value) / self.period.get() as f64 }
            }
            Phase::Collecting { count, sum } => Phase::Collecting { count: count + 1, sum: sum + value },
        };
        match self.phase {
            Phase::Going { average } => Some(average),
            Phase::Collecting { .. } => None,
        }
    }

    /// Wilder's smoothing: the recursion with the weight 1 / period.
    pub(crate) fn smooth(&mut self, value: f64) -> Option<f64> {
        let period = self.period.get() as f64;
        self.next(value, |average| (average * (period - 1.0) + value) / period)
    }
}
