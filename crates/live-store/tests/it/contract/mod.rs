//! What every adapter keeps, noun by noun. Each function is one test; `main.rs` lists them.

pub(crate) mod accounts;
pub(crate) mod alerts;
pub(crate) mod candles;
pub(crate) mod checkpoints;
pub(crate) mod feeds;
pub(crate) mod jobs;
pub(crate) mod key_calls;
pub(crate) mod mails;
pub(crate) mod news;
pub(crate) mod stale_days;
pub(crate) mod ticks_reading;
pub(crate) mod ticks_writing;
