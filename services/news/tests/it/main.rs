//! Feeds of a local server become stories of a store, whatever the feeds are.

// Clippy's own allowance for tests leaves out test helpers.
#![allow(clippy::unwrap_used)]

mod digest;
mod feeds;
mod gathering;
mod hostile;
mod personal;
