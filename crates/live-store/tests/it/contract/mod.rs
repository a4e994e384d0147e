//! What every adapter keeps. Each function is one test; `main.rs` lists them.

pub(crate) mod checkpoints;
pub(crate) mod progress;
pub(crate) mod reading;
pub(crate) mod writing;
