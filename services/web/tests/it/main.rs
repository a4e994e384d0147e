//! The pages over a real log and a real store, asked over real HTTP.

mod events;
mod json;
mod pages;
mod serving;
mod support;
