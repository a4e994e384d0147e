//! One contract, run by every adapter, and what only one of them promises.

#![allow(clippy::unwrap_used, reason = "a failed test is what a panic is for")]

mod broker;
mod child;
mod contract;
mod fixture;
mod groups;
mod kafka;
mod kafka_access;
mod look;
mod moving;
mod records;
mod sqlite;
mod steps;
