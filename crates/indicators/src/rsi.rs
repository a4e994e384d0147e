//! Relative strength index.

use std::num::NonZeroUsize;

use crate::average::Begun;

/// Wilder's relative strength index: 100 * G / (G + L), where G and L are the gains and losses from close to close, smoothed with
/// the weight 1 / period and begun with the mean of the first `period` changes (Wilder, New Concepts in Technical Trading Systems,
/// 1978). As TA-Lib's `RSI`.
///
/// Where neither a gain nor a loss is left (all closes are equal) it is 50: TA-Lib returns 0 and TradingView shows 100, which read
/// as the extremes.
#[derive(Clone, Debug)]
pub struct Rsi {
    before: Option<f64>,
    gain: Begun,
    loss: Begun,
}

impl Rsi {
    /// Before any close.
    pub fn new(period: NonZeroUsize) -> Self {
        Self { before: None, gain: Begun::new(period), loss: Begun::new(period) }
    }

    /// Takes a close; the index, from 0 to 100, from the `period` + 1st on.
    pub fn next(&mut self, close: f64) -> Option<f64> {
        if !close.is_finite() {
            self.before = None;
            self.gain.clear();
            self.loss.clear();
            return None;
        }
        let change = close - self.before.replace(close)?;
        // Both first: each must take the change in, also while the other has no average yet.
        let (gain, loss) = (self.gain.smooth(change.max(0.0)), self.loss.smooth((-change).max(0.0)));
        let (gain, loss) = gain.zip(loss)?;
        let moved = gain + loss;
        Some(if moved > 0.0 { 100.0 * (gain / moved) } else { 50.0 })
    }
}

/// [`Rsi`] at each close of a slice.
pub fn rsi(closes: &[f64], period: NonZeroUsize) -> Vec<Option<f64>> {
    let mut rsi = Rsi::new(period);
    closes.iter().map(|close| rsi.next(*close)).collect()
}
