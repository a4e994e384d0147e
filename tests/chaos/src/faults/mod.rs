//! The faults, in the order of the list in `tests/chaos/README.md`.

mod broker;
mod clocks;
mod consumers;
mod disk;
mod poison;
mod producers;
mod store;
mod wiped;

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{Outcome, scene::World};

/// A fault of the list.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its number.
    pub number: u8,
    /// What happens.
    pub name: &'static str,
}

/// All of them.
pub const ALL: [Fault; 11] = [
    Fault { number: 1, name: "the consumer is killed at random" },
    Fault { number: 2, name: "three consumers, and a rebalance again and again" },
    Fault { number: 3, name: "the producer is killed at random" },
    Fault { number: 4, name: "the broker is away" },
    Fault { number: 5, name: "the store stands still, then is killed" },
    Fault { number: 6, name: "every 50th reply of the store is lost" },
    Fault { number: 7, name: "a slow disk" },
    Fault { number: 8, name: "a full disk" },
    Fault { number: 9, name: "one record in a hundred cannot be read" },
    // Up to 16 the list of faults goes on without the stream.
    Fault { number: 17, name: "the broker is wiped" },
    Fault { number: 18, name: "clocks are an hour apart" },
];

/// Runs a fault.
///
/// # Errors
/// What cannot be started or does not come back; a broken promise is no error but a problem of the outcome.
pub async fn run(fault: Fault, world: &World) -> anyhow::Result<Outcome> {
    match fault.number {
        1 => consumers::one_is_killed(world).await,
        2 => consumers::three_and_rebalances(world).await,
        3 => producers::killed(world).await,
        4 => broker::away(world).await,
        5 => store::away(world).await,
        6 => store::replies_are_lost(world).await,
        7 => disk::slow(world).await,
        8 => disk::full(world).await,
        9 => poison::one_in_a_hundred(world).await,
        17 => wiped::wiped(world).await,
        18 => clocks::an_hour_apart(world).await,
        number => anyhow::bail!("there is no fault {number}"),
    }
}

/// Lets a random time pass, so that what follows comes at any moment.
async fn any_moment(rng: &mut ChaCha8Rng, up_to_ms: u64) {
    tokio::time::sleep(Duration::from_millis(rng.random_range(0..up_to_ms))).await;
}
