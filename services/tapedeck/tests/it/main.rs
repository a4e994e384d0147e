//! The real binary, from the outside.

mod bad_input;
mod crash;
mod dependencies;
mod process;
mod replays;
mod server_kafka;
mod whole_path;
