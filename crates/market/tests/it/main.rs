//! The market model, from outside.

mod builder;
mod calendar;
mod numbers;
mod symbols;
mod wide_bars;
