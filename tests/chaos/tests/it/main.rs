//! The checker checked: it finds what was planted.

// Test helpers are not told from other code by clippy's own allowance for tests.
#![allow(clippy::unwrap_used)]

mod checking;
mod numbering;
