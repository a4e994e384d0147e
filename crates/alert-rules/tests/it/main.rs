//! The state machine against a naive definition, and what may open an episode.

// Clippy's own allowance for tests leaves out test helpers.
#![allow(clippy::unwrap_used)]

mod engine;
mod machine;
mod rules;
mod volume;
mod world;
