//! Tests of the checker and the ledger.

// Clippy's allowance for tests does not include helper functions of tests.
#![allow(clippy::unwrap_used)]

mod checking;
mod numbering;
