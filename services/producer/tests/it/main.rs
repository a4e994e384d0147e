//! The producer on a real embedded log, with providers that are real servers on this host.

mod auto;
mod binance;
mod refusals;
mod replay;
mod simulated;
mod venue;
mod world;
mod yahoo;
