//! The last heartbeat of every process, and when it arrived. Pure. Whether a process is alive follows from the arrival times
//! of its heartbeats here: its own clock may be wrong by an hour, and is then reported.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use topics::{MAX_SKEW_SECONDS, status::ServiceStatus};

/// A process without heartbeat for so long is not shown any more.
const RETENTION_MINUTES: i64 = 5;
/// A process without heartbeat for so long is silent.
const SILENT_SECONDS: i64 = 10;
/// Most processes kept; the one whose last heartbeat is the oldest is dropped first.
const MAX_PROCESSES: usize = 64;
/// A process sends a heartbeat every two seconds. Those that arrive closer together were waiting in the log: their arrival
/// is no evidence of the present.
const MIN_INTERVAL_MS: i64 = 1_000;
/// Clocks are compared over so many heartbeats. A heartbeat can be late while the log is away, and a correct clock then looks
/// as if it were behind, never ahead: of these heartbeats the greatest difference counts.
const SAMPLES: usize = 3;
/// A wrong clock is reported at most once in so long.
const REPORT_INTERVAL_MINUTES: i64 = 10;

/// The processes, by instance.
#[derive(Default)]
pub(crate) struct Heartbeats {
    known: BTreeMap<String, KnownProcess>,
    /// Heartbeats received, of all processes.
    received: u64,
}

/// One process.
pub(crate) struct KnownProcess {
    /// Its last heartbeat.
    pub(crate) status: ServiceStatus,
    /// When it was sent, by our clock. For a heartbeat that was in the log before we read it, only the sender has the time.
    pub(crate) last_seen: DateTime<Utc>,
    /// Number of its last heartbeat among those of all processes: the greatest is the latest.
    pub(crate) sequence: u64,
    /// When its last heartbeat arrived, however old it was.
    arrived: DateTime<Utc>,
    /// When the last heartbeat arrived that was not waiting in the log, or the first one.
    sampled: DateTime<Utc>,
    /// How far its clock was ahead at those, at most [`SAMPLES`].
    ahead: VecDeque<TimeDelta>,
    reported: Option<DateTime<Utc>>,
}

/// A clock that differs from ours by more than is tolerated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClockSkew {
    pub(crate) service: String,
    pub(crate) instance: String,
    /// Negative where it is behind ours.
    pub(crate) ahead: TimeDelta,
}

impl Heartbeats {
    /// Takes a heartbeat that arrived at `now`, in the order of the log. Returns a wrong clock that is due to be reported.
    #[must_use]
    pub(crate) fn take(&mut self, status: ServiceStatus, now: DateTime<Utc>) -> Option<ClockSkew> {
        self.received += 1;
        let sequence = self.received;
        let instance = status.instance.clone();
        if status.stopping {
            self.known.remove(&instance);
            return None;
        }
        let claimed = status.at.min(now);
        let Some(known) = self.known.get_mut(&instance) else {
            let ahead = VecDeque::with_capacity(SAMPLES);
            let first = KnownProcess {
                status,
                last_seen: claimed,
                sequence,
                arrived: now,
                sampled: now,
                ahead,
                reported: None,
            };
            self.known.insert(instance, first);
            self.drop_oldest();
            return None;
        };
        (known.sequence, known.arrived) = (sequence, now);
        // In either direction: our own clock may have been set.
        if (now - known.sampled).abs() < TimeDelta::milliseconds(MIN_INTERVAL_MS) {
            known.last_seen = known.last_seen.max(claimed);
            known.status = status;
            return None;
        }
        if known.ahead.len() == SAMPLES {
            known.ahead.pop_front();
        }
        known.ahead.push_back(status.at - now);
        (known.last_seen, known.sampled, known.status) = (now, now, status);
        known.skew_to_report(now)
    }

    fn drop_oldest(&mut self) {
        while self.known.len() > MAX_PROCESSES {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.sequence);
            let Some(instance) = oldest.map(|(instance, _)| instance.clone()) else { return };
            self.known.remove(&instance);
        }
    }

    /// Drops processes without heartbeat for five minutes.
    pub(crate) fn drop_old(&mut self, now: DateTime<Utc>) {
        for known in self.known.values_mut() {
            // Our clock may have been set back.
            known.last_seen = known.last_seen.min(now);
            known.arrived = known.arrived.min(now);
        }
        self.known.retain(|_, known| now - known.arrived < TimeDelta::minutes(RETENTION_MINUTES));
    }

    /// The processes to show. One whose heartbeats claim to be old is kept but not shown: its clock may be behind, which its
    /// next heartbeat decides.
    pub(crate) fn shown(&self, now: DateTime<Utc>) -> impl Iterator<Item = &KnownProcess> {
        self.known.values().filter(move |known| now - known.last_seen < TimeDelta::minutes(RETENTION_MINUTES))
    }
}

impl KnownProcess {
    /// Whether it has sent no heartbeat for ten seconds.
    pub(crate) fn is_silent(&self, now: DateTime<Utc>) -> bool {
        now - self.last_seen > TimeDelta::seconds(SILENT_SECONDS)
    }

    /// How far its clock is ahead of ours, negative where it is behind; `None` where that is tolerated or not known.
    pub(crate) fn skew(&self) -> Option<TimeDelta> {
        let greatest = self.ahead.iter().max().filter(|_| self.ahead.len() == SAMPLES)?;
        (greatest.abs() > TimeDelta::seconds(MAX_SKEW_SECONDS)).then_some(*greatest)
    }

    fn skew_to_report(&mut self, now: DateTime<Utc>) -> Option<ClockSkew> {
        let ahead = self.skew()?;
        if self.reported.is_some_and(|at| (now - at).abs() < TimeDelta::minutes(REPORT_INTERVAL_MINUTES)) {
            return None;
        }
        self.reported = Some(now);
        let ServiceStatus { service, instance, .. } = &self.status;
        Some(ClockSkew { service: service.clone(), instance: instance.clone(), ahead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000 + seconds, 0).unwrap()
    }

    fn heartbeat(instance: &str, at: DateTime<Utc>) -> ServiceStatus {
        ServiceStatus {
            service: "consumer".to_owned(),
            instance: instance.to_owned(),
            version: "1".to_owned(),
            started_at: at,
            at,
            stopping: false,
            components: Vec::new(),
            figures: BTreeMap::new(),
        }
    }

    /// The instances shown, and whether as silent.
    fn shown(all: &Heartbeats, now: DateTime<Utc>) -> Vec<(&str, bool)> {
        all.shown(now).map(|known| (known.status.instance.as_str(), known.is_silent(now))).collect()
    }

    #[test]
    fn a_process_is_alive_by_the_arrival_of_its_heartbeats_whatever_its_clock_shows() {
        for off in [-3_600, -300, 0, 300, 3_600] {
            let mut all = Heartbeats::default();
            let mut reported = Vec::new();
            for now in (0..60).step_by(2) {
                reported.extend(all.take(heartbeat("one", second(now + off)), second(now)));
                all.drop_old(second(now + 1));
                if now > 0 {
                    assert_eq!(shown(&all, second(now + 1)), [("one", false)], "{off} s ahead");
                }
            }
            let skew = TimeDelta::seconds(off);
            let expected = (off != 0).then_some(skew);
            assert_eq!(all.shown(second(60)).next().and_then(KnownProcess::skew), expected);
            assert_eq!(reported.iter().map(|skew| skew.ahead).collect::<Vec<_>>(), Vec::from_iter(expected));
            // No more heartbeats.
            assert_eq!(shown(&all, second(69)), [("one", true)], "{off} s ahead");
            all.drop_old(second(58 + 299));
            assert_eq!(shown(&all, second(58 + 299)), [("one", true)]);
            all.drop_old(second(58 + 300));
            assert!(all.known.is_empty());
        }
    }

    #[test]
    fn a_process_that_ends_in_order_is_not_shown_any_more() {
        let mut all = Heartbeats::default();
        let _ = all.take(heartbeat("one", second(0)), second(0));
        let _ = all.take(heartbeat("two", second(0)), second(0));
        let _ = all.take(ServiceStatus { stopping: true, ..heartbeat("one", second(1)) }, second(1));
        assert_eq!(shown(&all, second(1)), [("two", false)]);
    }

    #[test]
    fn a_heartbeat_from_the_log_is_as_old_as_its_sender_claims_but_never_later_than_now() {
        let mut all = Heartbeats::default();
        for ago in [50, 48, 46] {
            assert_eq!(all.take(heartbeat("dead", second(-ago)), second(0)), None);
            assert_eq!(all.take(heartbeat("dead-and-ahead", second(3_600 - ago)), second(0)), None);
            assert_eq!(all.take(heartbeat("living", second(2 - ago)), second(0)), None);
            assert_eq!(all.take(heartbeat("living-and-behind", second(-3_600 - ago)), second(0)), None);
            assert_eq!(all.take(heartbeat("long-dead", second(-900 - ago)), second(0)), None);
        }
        let expected = [("dead", true), ("dead-and-ahead", false), ("living", true)];
        assert_eq!(shown(&all, second(0)), expected);
        let _ = all.take(heartbeat("living", second(2)), second(2));
        let _ = all.take(heartbeat("living-and-behind", second(-3_598)), second(2));
        all.drop_old(second(11));
        let expected =
            [("dead", true), ("dead-and-ahead", true), ("living", false), ("living-and-behind", false)];
        assert_eq!(shown(&all, second(11)), expected);
        assert!(all.shown(second(11)).all(|known| known.skew().is_none()), "too few heartbeats to compare");
    }

    #[test]
    fn a_wrong_clock_is_reported_every_ten_minutes_until_it_is_set() {
        let mut all = Heartbeats::default();
        let mut reported = Vec::new();
        for now in (0..1_300).step_by(2) {
            if all.take(heartbeat("one", second(now - 3_660)), second(now)).is_some() {
                reported.push(now);
            }
        }
        assert_eq!(reported, [6, 606, 1_206]);
        for now in [1_300, 1_302, 1_304] {
            let _ = all.take(heartbeat("one", second(now)), second(now));
        }
        assert_eq!(all.shown(second(1_305)).next().and_then(KnownProcess::skew), None);
    }

    #[test]
    fn heartbeats_that_arrive_late_do_not_make_a_clock_wrong() {
        let mut all = Heartbeats::default();
        let reported =
            |all: &mut Heartbeats, at, now| all.take(heartbeat("one", second(at)), second(now)).is_some();
        for now in (0..10).step_by(2) {
            assert!(!reported(&mut all, now, now));
        }
        // The log is away for a minute and a half: the heartbeat in flight arrives late.
        assert!(!reported(&mut all, 10, 100));
        assert!(!reported(&mut all, 100, 102));
        // We were disconnected: the heartbeats of that time arrive at once.
        for at in (102..300).step_by(2) {
            assert!(!reported(&mut all, at, 300));
        }
        assert!(!reported(&mut all, 302, 302));
        assert_eq!(shown(&all, second(303)), [("one", false)]);
        // Half a minute is tolerated.
        for now in (304..320).step_by(2) {
            assert!(!reported(&mut all, now + 30, now));
        }
        assert!(!reported(&mut all, 320 - 31, 320));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_process_silent_and_keeps_none_alive() {
        // Theirs.
        let mut all = Heartbeats::default();
        for now in [0, 2, 4] {
            let _ = all.take(heartbeat("one", second(now + 3_600)), second(now));
        }
        for now in [6, 8, 30] {
            let _ = all.take(heartbeat("one", second(now)), second(now));
        }
        assert_eq!(shown(&all, second(31)), [("one", false)]);
        // And ours, an hour.
        all.drop_old(second(31 - 3_600));
        assert_eq!(shown(&all, second(31 - 3_600)), [("one", false)]);
        all.drop_old(second(42 - 3_600));
        assert_eq!(shown(&all, second(42 - 3_600)), [("one", true)]);
    }

    #[test]
    fn the_number_of_processes_is_bounded_and_the_latest_are_kept() {
        let mut all = Heartbeats::default();
        for n in 0..2 * MAX_PROCESSES {
            let _ = all.take(heartbeat(&format!("one-{n:03}"), second(0)), second(0));
        }
        assert_eq!(all.known.len(), MAX_PROCESSES);
        assert_eq!(all.known.keys().next().map(String::as_str), Some("one-064"));
    }
}
