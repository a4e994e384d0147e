//! Tests of the real binary.

// Clippy's allowance for tests does not include helper functions of tests.
#![allow(clippy::unwrap_used)]

mod alerts;
mod backfill;
mod backup;
mod bad_input;
mod batch;
mod compose;
mod compose_file;
mod config_check;
mod config_check_servers;
mod crash;
mod day;
mod demo;
mod dependencies;
mod feeds;
mod grafana;
mod kibana;
mod logs;
mod make_env;
mod migrate;
mod news;
mod process;
mod replays;
mod server_compose;
mod server_kafka;
mod whole_path;
