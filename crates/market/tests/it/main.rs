//! The market model, from outside.

// Test helpers are not told from other code by clippy's own allowance for tests.
#![allow(clippy::unwrap_used)]

mod builder;
mod calendar;
mod numbers;
mod symbols;
mod watchlist;
mod wide_bars;
