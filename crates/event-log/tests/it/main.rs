//! One contract, run by every adapter, and tests of guarantees that only one of them has.

#![allow(clippy::unwrap_used, reason = "a failed test is what a panic is for")]

mod broker;
mod child;
mod contract;
mod fixture;
mod groups;
mod kafka;
mod kafka_access;
mod moving;
mod read_only;
mod records;
mod sqlite;
mod steps;
