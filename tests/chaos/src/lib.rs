//! Faults against the real services, broker and store: `make chaos`, `make chaos-long`.
//!
//! The load program publishes ticks and writes down what was acknowledged; the services are killed, stopped and cut off
//! meanwhile; the checker compares what was acknowledged with what is stored. One fault runs after the other, as they
//! share the machine.

pub mod checker;
pub mod disk;
pub mod faults;
pub mod ledger;
pub mod letters;
pub mod load;
pub mod numbers;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod results;
pub mod scene;
mod seq_set;
pub mod servers;
pub mod shim;
pub mod venue;

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

pub use seq_set::SeqSet;

/// What a fault came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Figures, for people.
    pub numbers: Vec<String>,
    /// What broke a promise; empty when all were kept.
    pub problems: Vec<String>,
}

impl Outcome {
    /// Notes a figure, and says it at once: a fault may end without an outcome.
    pub fn note(&mut self, number: impl Into<String>) {
        let number = number.into();
        println!("    {number}");
        self.numbers.push(number);
    }

    /// Notes a problem unless the promise was kept.
    pub fn check(&mut self, kept: bool, problem: impl Into<String>) {
        if !kept {
            self.problems.push(problem.into());
        }
    }
}

/// The random moments of a fault; the same for the same seed.
pub fn random(seed: u64, fault: u8) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed ^ (u64::from(fault) << 56))
}
