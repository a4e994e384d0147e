//! The last values of a series, with their mean and spread.

use std::num::NonZeroUsize;

/// Where a sum falls below this part of its peak, what is left is mostly the rounding error of the peak.
const CANCELLED: f64 = 1e-4;

/// The last `period` values, their sum and the sum of their squared differences from the mean.
///
/// The sums are updated in constant time (Welford's method), and computed anew whenever the ring has wrapped or most of a sum has
/// been cancelled, so that rounding errors do not grow with the length of the series.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    values: Box<[f64]>,
    /// How many of `values` are set.
    filled: usize,
    /// Where the next value goes.
    next: usize,
    sum: f64,
    squares: f64,
    /// The largest sums since they were computed anew.
    peaks: [f64; 2],
}

impl Window {
    pub(crate) fn new(period: NonZeroUsize) -> Self {
        let values = vec![0.0; period.get()].into();
        Self { values, filled: 0, next: 0, sum: 0.0, squares: 0.0, peaks: [0.0; 2] }
    }

    pub(crate) fn clear(&mut self) {
        (self.filled, self.next, self.sum, self.squares, self.peaks) = (0, 0, 0.0, 0.0, [0.0; 2]);
    }

    /// Takes a value in, and the oldest out where the window is full.
    pub(crate) fn push(&mut self, value: f64) {
        let is_full = self.is_full();
        let count = self.filled as f64;
        let Some(slot) = self.values.get_mut(self.next) else { return };
        let oldest = std::mem::replace(slot, value);
        self.next = (self.next + 1) % self.values.len();
        if is_full {
            let before = self.sum / count;
            self.sum += value - oldest;
            self.squares += (value - oldest) * (value - self.sum / count + oldest - before);
        } else {
            let before = if self.filled == 0 { value } else { self.sum / count };
            self.filled += 1;
            self.sum += value;
            self.squares += (value - before) * (value - self.sum / self.filled as f64);
        }
        let sums = [self.sum.abs(), self.squares];
        for (peak, sum) in self.peaks.iter_mut().zip(sums) {
            *peak = peak.max(sum);
        }
        let is_cancelled = self.peaks.iter().zip(sums).any(|(peak, sum)| sum < peak * CANCELLED);
        if is_full && (self.next == 0 || is_cancelled) {
            self.compute_anew();
        }
    }

    fn compute_anew(&mut self) {
        self.sum = self.values.iter().sum();
        let mean = self.sum / self.values.len() as f64;
        self.squares = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        self.peaks = [self.sum.abs(), self.squares];
    }

    fn is_full(&self) -> bool {
        self.filled == self.values.len()
    }

    /// The mean; `None` until the window is full.
    pub(crate) fn mean(&self) -> Option<f64> {
        self.is_full().then(|| self.sum / self.values.len() as f64)
    }

    /// The sum of the squared differences from the mean; `None` until the window is full.
    pub(crate) fn squares(&self) -> Option<f64> {
        self.is_full().then_some(self.squares.max(0.0))
    }
}
