//! The contract suite, on each adapter.

#![allow(clippy::unwrap_used, reason = "a test panics where something is wrong")]

mod contract;
mod refusals;
