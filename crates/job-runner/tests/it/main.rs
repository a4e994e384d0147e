//! Jobs by schedule, from outside.

// Clippy's allowance for tests does not cover their helper functions.
#![allow(clippy::unwrap_used)]

mod runner;
mod schedule;
