//! How often a client is sent updates: at every change while it keeps up, at most four times a second once it did not.
//! Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Between two batches for a slow client: four a second.
const SLOW_INTERVAL_MS: u64 = 250;
/// A client whose connection takes longer than this for a batch is slow. Changes are published every 40 ms; three of
/// them missed are no matter of scheduling.
const LATE_MS: u64 = 120;
/// A slow client counts as quick again after so long without being late.
const RECOVERY_MS: u64 = 10_000;

/// The pace of one client.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When the last batch was handed to the connection.
    sent: Option<Instant>,
    /// That batch is not taken yet.
    is_outstanding: bool,
    /// When the connection was last late.
    late: Option<Instant>,
}

impl Pace {
    /// The connection has taken the last batch and asks for more. Further calls before the next batch change nothing: the
    /// client waits for a change.
    pub(crate) fn taken(&mut self, now: Instant) {
        let was_outstanding = std::mem::take(&mut self.is_outstanding);
        if was_outstanding && self.sent.is_some_and(|sent| now - sent > Duration::from_millis(LATE_MS)) {
            self.late = Some(now);
        }
    }

    /// A batch is handed to the connection.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent = Some(now);
        self.is_outstanding = true;
    }

    /// Whether it was late within the recovery time.
    pub(crate) fn is_slow(&self, now: Instant) -> bool {
        self.late.is_some_and(|late| now - late < Duration::from_millis(RECOVERY_MS))
    }

    /// Earliest time of the next batch.
    pub(crate) fn not_before(&self, now: Instant) -> Instant {
        match self.sent {
            Some(sent) if self.is_slow(now) => sent + Duration::from_millis(SLOW_INTERVAL_MS),
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send_while_keeping_up(pace: &mut Pace, now: Instant) -> bool {
        let is_due = pace.not_before(now) <= now;
        if is_due {
            pace.sent(now);
            pace.taken(now + Duration::from_millis(1));
        }
        is_due
    }

    #[test]
    fn a_client_that_keeps_up_is_sent_every_change() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let sent =
            (0..25).filter(|n| send_while_keeping_up(&mut pace, start + Duration::from_millis(n * 40)));
        assert_eq!(sent.count(), 25);
    }

    #[test]
    fn a_client_that_waits_for_a_change_is_not_late() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.sent(start);
        pace.taken(start + Duration::from_millis(1));
        let changed = start + Duration::from_secs(1);
        pace.taken(changed);
        assert!(!pace.is_slow(changed));
    }

    #[test]
    fn a_client_that_was_late_is_sent_at_most_four_batches_a_second() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.sent(start);
        let late = start + Duration::from_millis(LATE_MS + 1);
        pace.taken(late);
        let begin = start + Duration::from_secs(1);
        let sent =
            (0..25).filter(|n| send_while_keeping_up(&mut pace, begin + Duration::from_millis(n * 40)));
        assert_eq!(sent.count(), 4);
        assert!(!pace.is_slow(late + Duration::from_millis(RECOVERY_MS)), "quick again after a while");
    }
}
