//! The consumer on a real embedded log and a real embedded store.

// Clippy's own allowance for tests leaves out test helpers.
#![allow(clippy::unwrap_used)]

mod clocks;
mod endings;
mod other_logs;
mod pipeline;
mod streams;
