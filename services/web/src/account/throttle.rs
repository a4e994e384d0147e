//! Limits how often something is tried, for each key: an address of the network, or an account. Pure.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Most keys in a table.
const MAX_KEYS: usize = 10_000;

/// Lets `burst` attempts pass at once, and then one in each interval.
#[derive(Debug)]
pub(super) struct Throttle<Key> {
    burst: u32,
    interval: Duration,
    /// For each key, when all its attempts are used up again to none (the theoretical arrival time of GCRA).
    until: Mutex<HashMap<Key, Instant>>,
}

/// Too many attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Throttled {
    /// The next attempt passes after so long.
    pub(crate) wait: Duration,
}

impl Throttled {
    /// The wait in whole minutes, rounded up.
    pub(crate) fn minutes(self) -> u64 {
        self.wait.as_secs().div_ceil(60).max(1)
    }
}

impl<Key: Clone + Eq + Hash> Throttle<Key> {
    pub(super) fn new(burst: u32, interval: Duration) -> Self {
        Self { burst, interval, until: Mutex::default() }
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// The key has no attempt left; then none is counted.
    pub(super) fn admit(&self, key: &Key, now: Instant) -> Result<(), Throttled> {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let used = until.get(key).map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let after = used + self.interval;
        let most = self.interval * self.burst;
        if after > most {
            return Err(Throttled { wait: after.saturating_sub(most) });
        }
        if until.len() >= MAX_KEYS && !until.contains_key(key) {
            make_room(&mut until, now);
        }
        until.insert(key.clone(), now + after);
        Ok(())
    }
}

/// Forgets keys that have all their attempts again; if there is none, the one that has the most. So a key that is under attack is kept,
/// however many others are tried meanwhile.
fn make_room<Key: Clone + Eq + Hash>(until: &mut HashMap<Key, Instant>, now: Instant) {
    until.retain(|_, until| *until > now);
    if until.len() >= MAX_KEYS {
        let least_used = until.iter().min_by_key(|(_, until)| **until).map(|(key, _)| key.clone());
        least_used.and_then(|key| until.remove(&key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(60);

    #[test]
    fn a_burst_passes_and_then_one_attempt_in_each_interval() {
        let (throttle, start) = (Throttle::new(3, INTERVAL), Instant::now());
        for _ in 0..3 {
            assert_eq!(throttle.admit(&"jane", start), Ok(()));
        }
        assert_eq!(throttle.admit(&"jane", start), Err(Throttled { wait: INTERVAL }));
        assert_eq!(throttle.admit(&"john", start), Ok(()), "another key");
        let half = start + INTERVAL / 2;
        assert_eq!(throttle.admit(&"jane", half), Err(Throttled { wait: INTERVAL / 2 }));
        assert_eq!(throttle.admit(&"jane", start + INTERVAL), Ok(()), "refused attempts do not count");
        assert!(throttle.admit(&"jane", start + INTERVAL).is_err());
        for _ in 0..3 {
            assert_eq!(throttle.admit(&"jane", start + 5 * INTERVAL), Ok(()));
        }
        assert!(throttle.admit(&"jane", start + 5 * INTERVAL).is_err());
    }

    #[test]
    fn the_table_is_bounded_and_a_key_without_attempts_left_stays_in_it() {
        let (throttle, start) = (Throttle::new(3, INTERVAL), Instant::now());
        for _ in 0..3 {
            assert_eq!(throttle.admit(&0, start), Ok(()));
        }
        for key in 1..2 * MAX_KEYS {
            assert_eq!(throttle.admit(&key, start), Ok(()));
        }
        assert!(throttle.until.lock().expect("a table").len() <= MAX_KEYS);
        assert!(throttle.admit(&0, start).is_err(), "it is still throttled");
    }

    #[test]
    fn a_wait_is_given_in_minutes() {
        let minutes = |seconds| Throttled { wait: Duration::from_secs(seconds) }.minutes();
        assert_eq!([0, 1, 60, 61].map(minutes), [1, 1, 1, 2]);
    }
}
