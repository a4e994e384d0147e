//! What is on the wire, against the golden samples.

mod golden;
mod round_trips;
