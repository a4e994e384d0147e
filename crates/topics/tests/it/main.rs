//! What is on the wire, against the golden samples.

// Test helpers are not told from other code by clippy's own allowance for tests.
#![allow(clippy::unwrap_used)]

mod golden;
mod round_trips;
