//! The state machine against a naive definition, and what may open an episode.

mod engine;
mod machine;
mod rules;
mod volume;
mod world;
