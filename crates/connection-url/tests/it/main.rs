//! What of a URL is shown, and how a password gets into it.

// Test helpers are not told from other code by clippy's own allowance for tests.
#![allow(clippy::unwrap_used)]

mod password;
mod shown;
