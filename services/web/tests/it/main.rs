//! The web service on a real log and a real store, over real HTTP.

mod events;
mod json;
mod pages;
mod serving;
mod support;
