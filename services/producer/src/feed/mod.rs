//! One file or folder per feed. A feed's parser is pure and stands apart from its connection.

pub(crate) mod binance;
pub(crate) mod coinbase;
pub(crate) mod replay;
pub(crate) mod rest;
pub(crate) mod simulated;
pub(crate) mod yahoo;
