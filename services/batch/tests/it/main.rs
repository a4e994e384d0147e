//! The batch on real stores.

#![allow(clippy::unwrap_used, reason = "a test panics where something is wrong")]

mod late;
mod night;
mod retention;
mod stores;
