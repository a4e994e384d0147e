//! The consumer on a real embedded log and a real embedded store.

// Test helpers are not told from other code by clippy's own allowance for tests.
#![allow(clippy::unwrap_used)]

mod clocks;
mod endings;
mod other_logs;
mod pipeline;
mod streams;
