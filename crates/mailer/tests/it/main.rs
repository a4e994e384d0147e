//! Mails from their settings to a file or a server.

// Clippy's own allowance for tests leaves out test helpers.
#![allow(clippy::unwrap_used)]

mod charts;
mod letters;
mod outboxes;
mod samples;
mod sending;
mod server_smtp;
mod settings;
