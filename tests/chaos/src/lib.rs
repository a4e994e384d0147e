//! Faults against the real services, broker and store: `make chaos`, `make chaos-long`.
//!
//! The load program publishes ticks and writes acknowledgements into a ledger; meanwhile services and servers are killed, stopped
//! and disconnected; the checker compares the ledger with the store. The faults run one by one, as they share the machine.

pub mod checker;
pub mod disk;
pub mod faults;
pub mod faulty_venue;
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

/// Result of a fault.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Measured figures, as text.
    pub numbers: Vec<String>,
    /// Violated guarantees; empty if all were kept.
    pub problems: Vec<String>,
}

impl Outcome {
    /// Adds a figure, and prints it at once, as a fault may end with an error.
    pub fn note(&mut self, number: impl Into<String>) {
        let number = number.into();
        println!("    {number}");
        self.numbers.push(number);
    }

    /// Adds a problem unless the guarantee was kept.
    pub fn check(&mut self, kept: bool, problem: impl Into<String>) {
        if !kept {
            self.problems.push(problem.into());
        }
    }
}

/// The random generator of a fault; the same for the same seed.
pub fn random(seed: u64, fault: u8) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed ^ (u64::from(fault) << 56))
}
