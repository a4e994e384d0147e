//! What every process said last, and when that was. Pure. Whether a process lives is told by when its words come here: its
//! own clock may be wrong by an hour, and is then named.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use topics::{MAX_SKEW_SECONDS, status::ServiceStatus};

/// A process that has said nothing for so long is not shown any more.
const FORGOTTEN_MINUTES: i64 = 5;
/// A process that has said nothing for so long is silent.
const SILENT_SECONDS: i64 = 10;
/// Most processes kept in mind.
const MAX_PROCESSES: usize = 64;
/// Words of one process that come closer together were waiting in the log, and tell nothing of now; it says one every two
/// seconds.
const MIN_APART_MS: i64 = 1_000;
/// Clocks are compared over so many words. A word may be late, while the log is away, and a clock that is right then looks as
/// if it were behind; never the other way round, so that the best of them counts.
const COMPARED: usize = 3;
/// A clock is said to be wrong at most so often.
const SKEW_SAID_MINUTES: i64 = 10;

/// The processes, by instance.
#[derive(Default)]
pub(crate) struct Heartbeats {
    known: BTreeMap<String, Heard>,
    words: u64,
}

/// One process.
pub(crate) struct Heard {
    /// Its last word.
    pub(crate) said: ServiceStatus,
    /// When that was, by our clock. Of what lay in the log before we read it only the sender knows when.
    pub(crate) at: DateTime<Utc>,
    /// Grows with every word of anybody: who said something last has the greatest.
    pub(crate) turn: u64,
    /// When its last word came here, however old it was.
    came: DateTime<Utc>,
    /// When one came that tells the time, or the first one.
    counted: DateTime<Utc>,
    /// How far its clock was ahead then, at most [`COMPARED`].
    ahead: VecDeque<TimeDelta>,
    skew_said: Option<DateTime<Utc>>,
}

/// A clock that is worth a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skew {
    pub(crate) service: String,
    pub(crate) instance: String,
    /// Negative where it is behind ours.
    pub(crate) ahead: TimeDelta,
}

impl Heartbeats {
    /// Takes a word that has come at `now`, in the order of the log; the answer is to be said aloud.
    #[must_use]
    pub(crate) fn take(&mut self, said: ServiceStatus, now: DateTime<Utc>) -> Option<Skew> {
        self.words += 1;
        let turn = self.words;
        let instance = said.instance.clone();
        let claimed = said.at.min(now);
        let Some(known) = self.known.get_mut(&instance) else {
            let ahead = VecDeque::with_capacity(COMPARED);
            let first = Heard { said, at: claimed, turn, came: now, counted: now, ahead, skew_said: None };
            self.known.insert(instance, first);
            self.make_room();
            return None;
        };
        (known.turn, known.came) = (turn, now);
        // Apart in either direction: our own clock may have been set.
        if (now - known.counted).abs() < TimeDelta::milliseconds(MIN_APART_MS) {
            known.at = known.at.max(claimed);
            known.said = said;
            return None;
        }
        if known.ahead.len() == COMPARED {
            known.ahead.pop_front();
        }
        known.ahead.push_back(said.at - now);
        (known.at, known.counted, known.said) = (now, now, said);
        known.skew_to_say(now)
    }

    fn make_room(&mut self) {
        while self.known.len() > MAX_PROCESSES {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.turn);
            let Some(instance) = oldest.map(|(instance, _)| instance.clone()) else { return };
            self.known.remove(&instance);
        }
    }

    /// Forgets whoever has not been heard of for long.
    pub(crate) fn forget_old(&mut self, now: DateTime<Utc>) {
        for known in self.known.values_mut() {
            // Ours was set back.
            known.at = known.at.min(now);
            known.came = known.came.min(now);
        }
        self.known.retain(|_, known| now - known.came < TimeDelta::minutes(FORGOTTEN_MINUTES));
    }

    /// Whoever is worth showing. An old word of a process that is there after all, its clock being behind, is kept in mind: the
    /// next one tells.
    pub(crate) fn shown(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Heard> {
        self.known.values().filter(move |known| now - known.at < TimeDelta::minutes(FORGOTTEN_MINUTES))
    }
}

impl Heard {
    /// It has said nothing for ten seconds.
    pub(crate) fn is_silent(&self, now: DateTime<Utc>) -> bool {
        now - self.at > TimeDelta::seconds(SILENT_SECONDS)
    }

    /// How far its clock is ahead of ours, negative where it is behind; `None` while that is nothing to speak of, or not known.
    pub(crate) fn skew(&self) -> Option<TimeDelta> {
        let best = self.ahead.iter().max().filter(|_| self.ahead.len() == COMPARED)?;
        (best.abs() > TimeDelta::seconds(MAX_SKEW_SECONDS)).then_some(*best)
    }

    fn skew_to_say(&mut self, now: DateTime<Utc>) -> Option<Skew> {
        let ahead = self.skew()?;
        if self.skew_said.is_some_and(|said| (now - said).abs() < TimeDelta::minutes(SKEW_SAID_MINUTES)) {
            return None;
        }
        self.skew_said = Some(now);
        let ServiceStatus { service, instance, .. } = &self.said;
        Some(Skew { service: service.clone(), instance: instance.clone(), ahead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000 + seconds, 0).unwrap()
    }

    fn word(instance: &str, at: DateTime<Utc>) -> ServiceStatus {
        ServiceStatus {
            service: "consumer".to_owned(),
            instance: instance.to_owned(),
            version: "1".to_owned(),
            started_at: at,
            at,
            components: Vec::new(),
            figures: BTreeMap::new(),
        }
    }

    /// Who is shown, and whether as silent.
    fn seen(all: &Heartbeats, now: DateTime<Utc>) -> Vec<(&str, bool)> {
        all.shown(now).map(|known| (known.said.instance.as_str(), known.is_silent(now))).collect()
    }

    #[test]
    fn a_process_lives_by_when_its_words_come_whatever_its_clock_says() {
        for off in [-3_600, -300, 0, 300, 3_600] {
            let mut all = Heartbeats::default();
            let mut said = Vec::new();
            for now in (0..60).step_by(2) {
                said.extend(all.take(word("one", second(now + off)), second(now)));
                all.forget_old(second(now + 1));
                if now > 0 {
                    assert_eq!(seen(&all, second(now + 1)), [("one", false)], "{off} s ahead");
                }
            }
            let skew = TimeDelta::seconds(off);
            let expected = (off != 0).then_some(skew);
            assert_eq!(all.shown(second(60)).next().and_then(Heard::skew), expected);
            assert_eq!(said.iter().map(|skew| skew.ahead).collect::<Vec<_>>(), Vec::from_iter(expected));
            // It says nothing more.
            assert_eq!(seen(&all, second(69)), [("one", true)], "{off} s ahead");
            all.forget_old(second(58 + 299));
            assert_eq!(seen(&all, second(58 + 299)), [("one", true)]);
            all.forget_old(second(58 + 300));
            assert!(all.known.is_empty());
        }
    }

    #[test]
    fn of_what_lay_in_the_log_the_sender_tells_when_it_was_but_never_later_than_now() {
        let mut all = Heartbeats::default();
        for ago in [50, 48, 46] {
            assert_eq!(all.take(word("dead", second(-ago)), second(0)), None);
            assert_eq!(all.take(word("dead-and-ahead", second(3_600 - ago)), second(0)), None);
            assert_eq!(all.take(word("living", second(2 - ago)), second(0)), None);
            assert_eq!(all.take(word("living-and-behind", second(-3_600 - ago)), second(0)), None);
            assert_eq!(all.take(word("long-dead", second(-900 - ago)), second(0)), None);
        }
        let shown = [("dead", true), ("dead-and-ahead", false), ("living", true)];
        assert_eq!(seen(&all, second(0)), shown);
        let _ = all.take(word("living", second(2)), second(2));
        let _ = all.take(word("living-and-behind", second(-3_598)), second(2));
        all.forget_old(second(11));
        let shown =
            [("dead", true), ("dead-and-ahead", true), ("living", false), ("living-and-behind", false)];
        assert_eq!(seen(&all, second(11)), shown);
        assert!(all.shown(second(11)).all(|known| known.skew().is_none()), "too few words to tell");
    }

    #[test]
    fn a_wrong_clock_is_named_now_and_then_and_one_that_was_set_no_more() {
        let mut all = Heartbeats::default();
        let mut said = Vec::new();
        for now in (0..1_300).step_by(2) {
            if all.take(word("one", second(now - 3_660)), second(now)).is_some() {
                said.push(now);
            }
        }
        assert_eq!(said, [6, 606, 1_206]);
        for now in [1_300, 1_302, 1_304] {
            let _ = all.take(word("one", second(now)), second(now));
        }
        assert_eq!(all.shown(second(1_305)).next().and_then(Heard::skew), None);
    }

    #[test]
    fn words_that_come_late_do_not_make_a_clock_wrong() {
        let mut all = Heartbeats::default();
        let said = |all: &mut Heartbeats, at, now| all.take(word("one", second(at)), second(now)).is_some();
        for now in (0..10).step_by(2) {
            assert!(!said(&mut all, now, now));
        }
        // The log is away for a minute and a half: the word under way comes late.
        assert!(!said(&mut all, 10, 100));
        assert!(!said(&mut all, 100, 102));
        // We were cut off: what others said meanwhile comes at once.
        for at in (102..300).step_by(2) {
            assert!(!said(&mut all, at, 300));
        }
        assert!(!said(&mut all, 302, 302));
        assert_eq!(seen(&all, second(303)), [("one", false)]);
        // Half a minute is nothing to speak of.
        for now in (304..320).step_by(2) {
            assert!(!said(&mut all, now + 30, now));
        }
        assert!(!said(&mut all, 320 - 31, 320));
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nobody_and_keeps_nobody_alive() {
        // Theirs.
        let mut all = Heartbeats::default();
        for now in [0, 2, 4] {
            let _ = all.take(word("one", second(now + 3_600)), second(now));
        }
        for now in [6, 8, 30] {
            let _ = all.take(word("one", second(now)), second(now));
        }
        assert_eq!(seen(&all, second(31)), [("one", false)]);
        // And ours, an hour.
        all.forget_old(second(31 - 3_600));
        assert_eq!(seen(&all, second(31 - 3_600)), [("one", false)]);
        all.forget_old(second(42 - 3_600));
        assert_eq!(seen(&all, second(42 - 3_600)), [("one", true)]);
    }

    #[test]
    fn only_so_many_are_kept_in_mind_and_those_that_spoke_last() {
        let mut all = Heartbeats::default();
        for n in 0..2 * MAX_PROCESSES {
            let _ = all.take(word(&format!("one-{n:03}"), second(0)), second(0));
        }
        assert_eq!(all.known.len(), MAX_PROCESSES);
        assert_eq!(all.known.keys().next().map(String::as_str), Some("one-064"));
    }
}
