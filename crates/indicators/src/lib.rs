//! Technical indicators, each as a streaming value (constant time a step, no allocation after the start) and over a slice. Both
//! forms give the same numbers to 1e-9, and those of TA-Lib where it defines them.
//!
//! Inputs are `f64` in any unit. A value that is not finite is a missing one: the indicator begins anew after it. The result is
//! `None` until there is enough history, never 0.

mod average;
mod deviation;
mod range;
mod returns;
mod rsi;
mod window;

pub use average::{Ema, Sma, ema, sma};
pub use deviation::{Deviation, RollingDeviation, deviation, rolling_deviation};
pub use range::{Atr, Bar, atr};
pub use returns::{log_return, log_returns, simple_return, simple_returns};
pub use rsi::{Rsi, rsi};
