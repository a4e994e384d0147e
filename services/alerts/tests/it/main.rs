//! The service on a log, a store and an outbox in a folder.

// Clippy's own allowance for tests leaves out test helpers.
#![allow(clippy::unwrap_used)]

mod alert_log;
mod charts;
mod episodes;
mod people;
mod world;
