//! The web service on a real log and a real store, over real HTTP.

mod accounts;
mod analytics;
mod events;
mod json;
#[cfg(target_os = "linux")]
mod memory;
mod news;
mod pages;
mod serving;
mod support;
