//! The consumer on a real embedded log and a real embedded store.

mod pipeline;
mod streams;
