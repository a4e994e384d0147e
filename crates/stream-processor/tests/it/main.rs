//! The contract of the loop: on a scripted log and store, where every failure can be chosen, and on the real logs.

// Clippy's own allowance for tests leaves out test helpers.
#![allow(clippy::unwrap_used)]

mod claims;
mod count;
mod faults;
mod inputs;
mod logs;
mod scripted_log;
mod scripted_store;
mod scripted_world;
mod world;
