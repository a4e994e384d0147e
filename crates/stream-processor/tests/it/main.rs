//! The contract of the loop: on a scripted log and store, where every failure can be chosen, and on the real logs.

// Test helpers are not told from other code by clippy's own allowance for tests.
#![allow(clippy::unwrap_used)]

mod count;
mod faults;
mod logs;
mod scripted_log;
mod scripted_store;
mod world;
