//! Against TA-Lib, against Stock.Indicators, and against the definitions.

#![allow(clippy::unwrap_used, reason = "a test panics where something is wrong")]

mod definitions;
mod references;
