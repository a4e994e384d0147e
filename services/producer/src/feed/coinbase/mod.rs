//! Coinbase: a parser of recordings.

pub(crate) mod recording;
