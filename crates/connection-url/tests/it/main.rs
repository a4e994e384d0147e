//! What of a URL is shown, and how a password gets into it.

// Clippy's allowance for tests does not cover their helper functions.
#![allow(clippy::unwrap_used)]

mod password;
mod shown;
