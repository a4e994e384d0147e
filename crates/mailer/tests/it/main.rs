//! Mails from their settings to a file or a server.

mod charts;
mod letters;
mod outboxes;
mod samples;
mod sending;
mod server_smtp;
mod settings;
