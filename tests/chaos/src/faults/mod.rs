//! The faults, in the order of the list in `tests/chaos/README.md`.

mod alerts;
mod broker;
mod clocks;
mod consumers;
mod day;
mod disk;
mod elastic;
mod mails;
mod nights;
mod poison;
mod producers;
mod store;
mod venue_faults;
mod wiped;

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{Outcome, scene::World};

/// One fault.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its number.
    pub number: u8,
    /// Short description.
    pub name: &'static str,
}

/// All faults.
pub const ALL: [Fault; 19] = [
    Fault { number: 1, name: "the consumer is killed at random" },
    Fault { number: 2, name: "three consumers with repeated rebalances" },
    Fault { number: 3, name: "the producer is killed at random" },
    Fault { number: 4, name: "outages of the broker" },
    Fault { number: 5, name: "the store hangs, then is killed" },
    Fault { number: 6, name: "every 50th reply of the store is lost" },
    Fault { number: 7, name: "a slow disk" },
    Fault { number: 8, name: "a full disk" },
    Fault { number: 9, name: "one record in a hundred cannot be decoded" },
    // Numbers up to 16 that are missing here are of other tests.
    Fault { number: 10, name: "the batch is killed, run twice at once, and misses nights" },
    Fault { number: 11, name: "the alerts are killed while rules fire" },
    Fault { number: 12, name: "the mail server refuses, drops, and is away" },
    Fault { number: 14, name: "Elasticsearch is away" },
    Fault { number: 15, name: "the clock of the alerts jumps" },
    Fault { number: 17, name: "the broker is wiped" },
    Fault { number: 18, name: "clocks are an hour apart" },
    Fault { number: 19, name: "the analytics store hangs, is killed, and is away in the night" },
    Fault { number: 20, name: "each service is killed at a random moment of a day" },
    Fault { number: 21, name: "a venue that fails at random" },
];

/// Runs a fault.
///
/// # Errors
/// A program or server that cannot be started. A violated guarantee is not an error, but a problem in the outcome.
pub async fn run(fault: Fault, world: &World) -> anyhow::Result<Outcome> {
    match fault.number {
        1 => consumers::kills(world).await,
        2 => consumers::rebalances(world).await,
        3 => producers::kills(world).await,
        4 => broker::outages(world).await,
        5 => store::outage(world).await,
        6 => store::lost_replies(world).await,
        7 => disk::slow(world).await,
        8 => disk::full(world).await,
        9 => poison::one_in_a_hundred(world).await,
        10 => nights::kills(world).await,
        11 => alerts::kills(world).await,
        12 => mails::refused_dropped_away(world).await,
        14 => elastic::away(world).await,
        15 => alerts::clock_jumps(world).await,
        17 => wiped::wiped(world).await,
        18 => clocks::an_hour_apart(world).await,
        19 => nights::without_analytics(world).await,
        20 => day::kills(world).await,
        21 => venue_faults::at_random(world).await,
        number => anyhow::bail!("there is no fault {number}"),
    }
}

/// Waits for a random time.
async fn random_wait(rng: &mut ChaCha8Rng, up_to_ms: u64) {
    tokio::time::sleep(Duration::from_millis(rng.random_range(0..up_to_ms))).await;
}
