//! The circuit of a feed: after several failures in a row its provider is left alone for a while, also after a restart.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use live_store::{FeedCircuit, LiveStore};

/// Failures in a row that open the circuit; until then the waits grow from half a second.
const OPENS_AFTER: u32 = 5;
/// The first pause, doubled with each further failure up to the longest.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(30);
const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(2);
/// A stored pause that ends later than this is another clock's, or a provider's mistake.
const LONGEST_STORED: TimeDelta = TimeDelta::hours(1);
/// A store that does not answer does not delay the feed.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// Failures in a row, and until when the provider is left alone. Pure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Circuit {
    failures: u32,
    open_until: Option<DateTime<Utc>>,
}

impl Circuit {
    /// A connection failed, and its provider requires this pause, if any. Returns the pause of an open circuit.
    fn failed(&mut self, required: Option<Duration>, now: DateTime<Utc>) -> Option<TimeDelta> {
        self.failures = self.failures.saturating_add(1);
        let pause = match required.and_then(|pause| TimeDelta::from_std(pause).ok()) {
            // The provider knows better; short pauses are not worth a row in the store.
            Some(required) => Some(required).filter(|required| *required >= FIRST_PAUSE)?,
            None => {
                let doublings = self.failures.checked_sub(OPENS_AFTER)?.min(10);
                (FIRST_PAUSE * 2_i32.pow(doublings)).min(LONGEST_PAUSE)
            }
        };
        self.open_until = Some(now + pause);
        Some(pause)
    }

    /// How long the provider is still left alone.
    fn pause(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.open_until.and_then(|until| (until - now).min(LONGEST_STORED).to_std().ok())
    }
}

/// The circuit of one feed, kept in the live store where there is one.
pub(crate) struct KeptCircuit {
    feed: &'static str,
    circuit: Circuit,
    store: Option<Arc<dyn LiveStore>>,
}

impl KeptCircuit {
    /// As it was stored, otherwise closed; with the reason of the last failure.
    pub(crate) async fn load(
        feed: &'static str,
        store: Option<Arc<dyn LiveStore>>,
    ) -> (Self, Option<String>) {
        let mut kept = Self { feed, circuit: Circuit::default(), store };
        let Some(store) = &kept.store else { return (kept, None) };
        let stored = tokio::time::timeout(STORE_TIMEOUT, store.circuits()).await;
        let reason = match stored {
            Ok(Ok(circuits)) => circuits.into_iter().find(|circuit| circuit.feed == feed).map(|stored| {
                kept.circuit = Circuit { failures: stored.failures, open_until: Some(stored.open_until) };
                stored.reason
            }),
            Ok(Err(error)) => {
                tracing::warn!(feed, reason = %error, "the circuit of the feed could not be read");
                None
            }
            Err(_) => {
                tracing::warn!(feed, "the circuit of the feed could not be read in time");
                None
            }
        };
        (kept, reason)
    }

    /// How long the provider is still left alone.
    pub(crate) fn pause(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.circuit.pause(now)
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.circuit.failures
    }

    /// A connection failed. Returns the pause of an open circuit.
    pub(crate) async fn failed(
        &mut self,
        reason: &str,
        required: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Option<Duration> {
        let pause = self.circuit.failed(required, now)?.to_std().ok()?;
        let circuit = FeedCircuit {
            feed: self.feed.to_owned(),
            failures: self.circuit.failures,
            open_until: self.circuit.open_until.unwrap_or(now),
            reason: reason.to_owned(),
            changed_at: now,
        };
        if let Some(store) = &self.store {
            self.log_failure(tokio::time::timeout(STORE_TIMEOUT, store.save_circuit(&circuit)).await);
        }
        Some(pause)
    }

    /// The provider answers.
    pub(crate) async fn succeeded(&mut self) {
        let was_open = self.circuit.open_until.is_some();
        self.circuit = Circuit::default();
        if let Some(store) = self.store.as_ref().filter(|_| was_open) {
            self.log_failure(tokio::time::timeout(STORE_TIMEOUT, store.close_circuit(self.feed)).await);
        }
    }

    /// A circuit that cannot be stored is kept in memory.
    fn log_failure(&self, stored: Result<live_store::Result<()>, tokio::time::error::Elapsed>) {
        match stored {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(feed = self.feed, reason = %error, "the circuit of the feed could not be stored");
            }
            Err(_) => tracing::warn!(feed = self.feed, "the circuit of the feed could not be stored in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn the_fifth_failure_in_a_row_opens_the_circuit_and_pauses_are_bounded() {
        let mut circuit = Circuit::default();
        for _ in 1..OPENS_AFTER {
            assert_eq!(circuit.failed(None, at(0)), None);
            assert_eq!(circuit.pause(at(0)), None);
        }
        let pauses: Vec<i64> =
            (0..4).map(|_| circuit.failed(None, at(0)).expect("a pause").num_seconds()).collect();
        assert_eq!(pauses, [30, 60, 120, 120]);
        assert_eq!(circuit.pause(at(20)), Some(Duration::from_secs(100)));
        assert_eq!(circuit.pause(at(121)), None);
        for _ in 0..100 {
            circuit.failed(None, at(0));
        }
        assert_eq!(circuit.pause(at(0)), Some(Duration::from_secs(120)));
        // What the provider requires is obeyed, be it shorter or longer.
        assert_eq!(circuit.failed(Some(Duration::from_secs(1)), at(0)), None);
        assert_eq!(circuit.failed(Some(Duration::from_secs(600)), at(0)), Some(TimeDelta::minutes(10)));
        assert_eq!(
            Circuit::default().failed(Some(Duration::from_secs(600)), at(0)),
            Some(TimeDelta::minutes(10))
        );
    }

    #[test]
    fn a_stored_pause_of_a_clock_that_was_ahead_is_bounded() {
        let circuit = Circuit { failures: 5, open_until: Some(at(10 * 86_400)) };
        assert_eq!(circuit.pause(at(0)), Some(Duration::from_secs(3_600)));
    }

    #[tokio::test]
    async fn an_open_circuit_is_kept_across_a_restart_until_the_provider_answers() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        let store = live_store::open(&url).await.expect("a store");
        let load = async || KeptCircuit::load("binance", Some(Arc::clone(&store))).await;
        let (mut circuit, reason) = load().await;
        assert_eq!((circuit.pause(at(0)), reason), (None, None));
        for _ in 0..OPENS_AFTER {
            circuit.failed("no answer in time", None, at(0)).await;
        }
        let (mut after_restart, reason) = load().await;
        assert_eq!(after_restart.pause(at(10)), Some(Duration::from_secs(20)));
        assert_eq!((after_restart.failures(), reason.as_deref()), (5, Some("no answer in time")));
        // The next failure goes on from there.
        assert_eq!(after_restart.failed("still", None, at(40)).await, Some(Duration::from_secs(60)));
        after_restart.succeeded().await;
        assert_eq!(load().await.0.pause(at(40)), None);
        store.close().await.expect("closed");
    }
}
