//! How often a tab is told: at every change while it keeps up, at most four times a second once it did not. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Between two tellings of a slow tab: four a second.
const SLOW_INTERVAL_MS: u64 = 250;
/// A tab that comes back for more so late after it was told something is slow. Changes are put into words every
/// 40 ms; three of them missed is not a matter of scheduling.
const LATE_MS: u64 = 120;
/// A slow tab is taken for a quick one again after so long without being late.
const FORGIVEN_MS: u64 = 10_000;

/// The pace of one tab.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    told: Option<Instant>,
    late: Option<Instant>,
}

impl Pace {
    /// The tab asks for more: its connection has taken what it was told last.
    pub(crate) fn asked(&mut self, now: Instant) {
        if self.told.is_some_and(|told| now - told > Duration::from_millis(LATE_MS)) {
            self.late = Some(now);
        }
    }

    /// It is being told something.
    pub(crate) fn told(&mut self, now: Instant) {
        self.told = Some(now);
    }

    /// It could not keep up lately.
    pub(crate) fn is_slow(&self, now: Instant) -> bool {
        self.late.is_some_and(|late| now - late < Duration::from_millis(FORGIVEN_MS))
    }

    /// Before this moment it is told nothing more.
    pub(crate) fn next(&self, now: Instant) -> Instant {
        match self.told {
            Some(told) if self.is_slow(now) => told + Duration::from_millis(SLOW_INTERVAL_MS),
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell_while_keeping_up(pace: &mut Pace, now: Instant) -> bool {
        let is_due = pace.next(now) <= now;
        if is_due {
            pace.told(now);
            pace.asked(now + Duration::from_millis(1));
        }
        is_due
    }

    #[test]
    fn a_tab_that_keeps_up_is_told_every_change() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let told =
            (0..25).filter(|n| tell_while_keeping_up(&mut pace, start + Duration::from_millis(n * 40)));
        assert_eq!(told.count(), 25);
    }

    #[test]
    fn a_tab_that_was_late_is_told_at_most_four_times_a_second() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.told(start);
        let late = start + Duration::from_millis(LATE_MS + 1);
        pace.asked(late);
        let begin = start + Duration::from_secs(1);
        let told =
            (0..25).filter(|n| tell_while_keeping_up(&mut pace, begin + Duration::from_millis(n * 40)));
        assert_eq!(told.count(), 4);
        assert!(!pace.is_slow(late + Duration::from_millis(FORGIVEN_MS)), "forgiven after a while");
    }
}
