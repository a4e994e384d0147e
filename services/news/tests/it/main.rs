//! Feeds of a local server become stories of a store, whatever the feeds are.

mod digest;
mod feeds;
mod gathering;
mod hostile;
