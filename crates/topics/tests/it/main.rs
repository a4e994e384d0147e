//! What is on the wire, against the golden samples.

// Clippy's own allowance for tests leaves out test helpers.
#![allow(clippy::unwrap_used)]

mod golden;
mod round_trips;
