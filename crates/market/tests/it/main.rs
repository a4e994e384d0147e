//! The market model, from outside.

// Clippy's own allowance for tests leaves out test helpers.
#![allow(clippy::unwrap_used)]

mod builder;
mod calendar;
mod numbers;
mod symbols;
mod watchlist;
mod wide_candles;
