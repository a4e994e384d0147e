//! The producer on a real embedded log, with providers that are real servers on this host.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod alpha_vantage;
mod auto;
mod backfill;
mod binance;
mod coinbase;
mod fallback;
mod finnhub;
mod kraken;
mod refusals;
mod replay;
mod simulated;
mod venue;
mod world;
mod yahoo;
