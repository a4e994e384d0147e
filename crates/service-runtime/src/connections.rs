//! The open connections of a server, and which of them wait for their clients.
//!
//! A client can keep a connection open that is of no use to it: with half a request, without one, or with a response that it
//! does not read. Where there are as many connections as may be, the one that has waited the longest for its client makes room
//! for a new one; a connection whose request is being answered is never closed for that.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::{Counter, Gauge, counter, gauge};
use tokio::task::AbortHandle;

use crate::locked::locked;

/// Connections past the limit for health checks and the command line, while every other one is answering a request.
const RESERVED: usize = 32;

/// Open connections.
pub(crate) const CONNECTIONS: &str = "tapedeck_http_connections";
/// Connections that the server closed or refused, by reason.
pub(crate) const CLOSED: &str = "tapedeck_http_connections_closed_total";

/// The open connections.
pub(crate) struct Connections {
    started: Instant,
    max: usize,
    open: Mutex<Open>,
    exported: Gauge,
    replaced: Counter,
    refused: Counter,
    timed_out: Counter,
}

#[derive(Default)]
struct Open {
    next_id: u64,
    by_id: BTreeMap<u64, Entry>,
    since_report: Closings,
}

struct Entry {
    activity: Arc<Activity>,
    /// `None` until it is started.
    task: Option<AbortHandle>,
}

/// Connections closed because there were as many as may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Closings {
    /// They had waited for their clients, and made room for new ones.
    pub(crate) replaced: u64,
    /// Refused, or closed with 503, because all others were answering requests.
    pub(crate) refused: u64,
}

/// What a connection does now.
#[derive(Default)]
pub(crate) struct Activity {
    /// Milliseconds from [`Connections::started`] to the moment from which it waits for its client; 0 while it does not.
    waits_since: AtomicU64,
    is_answering: AtomicBool,
    /// The client has not sent the whole body of the request that is being answered.
    awaits_body: AtomicBool,
}

/// The place of one connection among the open ones; free again when dropped.
pub(crate) struct Place {
    all: Arc<Connections>,
    id: u64,
    pub(crate) activity: Arc<Activity>,
    /// Past the limit: only for health checks and the command line.
    pub(crate) is_reserved: bool,
}

/// A request that is being answered; dropped with the last byte of the response's body.
pub(crate) struct Answering {
    all: Arc<Connections>,
    activity: Arc<Activity>,
}

/// The wait for the body of a request; dropped with the body, whether it has arrived or is not wanted.
pub(crate) struct BodyWait {
    all: Arc<Connections>,
    activity: Arc<Activity>,
}

impl Connections {
    /// At most `max`, besides the reserved ones.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        let closed = |reason: &'static str| counter!(CLOSED, "reason" => reason);
        Arc::new(Self {
            started: Instant::now(),
            max,
            open: Mutex::default(),
            exported: gauge!(CONNECTIONS),
            replaced: closed("replaced"),
            refused: closed("refused"),
            timed_out: closed("timeout"),
        })
    }

    fn now(&self) -> u64 {
        // Never 0, which is no time.
        self.started.elapsed().as_millis() as u64 + 1
    }

    /// Gives a new connection a place, and starts its task. Refuses it where there is none: `start` is not called then.
    pub(crate) fn admit(self: &Arc<Self>, start: impl FnOnce(Place) -> AbortHandle) -> bool {
        let mut open = locked(&self.open);
        let is_full = open.by_id.len() >= self.max && !self.replace_longest_waiting(&mut open);
        if is_full && open.by_id.len() >= self.max + RESERVED {
            self.count_refused(&mut open);
            return false;
        }
        open.next_id += 1;
        let id = open.next_id;
        let activity = Arc::new(Activity::default());
        activity.waits_since.store(self.now(), Ordering::Relaxed);
        let place =
            Place { all: Arc::clone(self), id, activity: Arc::clone(&activity), is_reserved: is_full };
        open.by_id.insert(id, Entry { activity, task: None });
        self.exported.set(open.by_id.len() as f64);
        // Without the lock: a runtime that is shutting down drops the task, and so its place, at once.
        drop(open);
        let task = start(place);
        if let Some(entry) = locked(&self.open).by_id.get_mut(&id) {
            entry.task = Some(task);
        }
        true
    }

    fn count_refused(&self, open: &mut Open) {
        open.since_report.refused += 1;
        self.refused.increment(1);
    }

    fn replace_longest_waiting(&self, open: &mut Open) -> bool {
        let waiting = open.by_id.iter().filter(|(_, entry)| entry.task.is_some());
        let waiting = waiting.filter_map(|(id, entry)| Some((entry.activity.waits_since()?, *id)));
        let Some(entry) = waiting.min().and_then(|(_, id)| open.by_id.remove(&id)) else { return false };
        entry.close();
        open.since_report.replaced += 1;
        self.replaced.increment(1);
        true
    }

    /// Closes connections that have waited longer than `limit` for their clients.
    pub(crate) fn close_waiting(&self, limit: Duration) {
        let oldest = self.now().saturating_sub(limit.as_millis() as u64);
        for entry in locked(&self.open).by_id.values() {
            if entry.activity.waits_since().is_some_and(|since| since < oldest) {
                entry.close();
                self.timed_out.increment(1);
            }
        }
    }

    /// What was closed since the last call because of the limit.
    pub(crate) fn take_closings(&self) -> Closings {
        std::mem::take(&mut locked(&self.open).since_report)
    }
}

impl Entry {
    fn close(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Activity {
    fn waits_since(&self) -> Option<u64> {
        Some(self.waits_since.load(Ordering::Relaxed)).filter(|since| *since > 0)
    }

    /// Waits for the client from `now` on, unless it does already.
    fn wait_from(&self, now: u64) {
        let _ = self.waits_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Without a request that is being answered, the connection waits for the next one.
    fn stop_waiting(&self) {
        if self.is_answering.load(Ordering::Relaxed) {
            self.waits_since.store(0, Ordering::Relaxed);
        }
    }
}

impl Place {
    /// The head of a request has arrived.
    pub(crate) fn answering(&self) -> Answering {
        self.activity.is_answering.store(true, Ordering::Relaxed);
        self.activity.awaits_body.store(false, Ordering::Relaxed);
        self.activity.waits_since.store(0, Ordering::Relaxed);
        Answering { all: Arc::clone(&self.all), activity: Arc::clone(&self.activity) }
    }

    /// For the body of the request.
    pub(crate) fn body_wait(&self) -> BodyWait {
        BodyWait { all: Arc::clone(&self.all), activity: Arc::clone(&self.activity) }
    }

    /// The request is refused: the connection is a reserved one.
    pub(crate) fn count_refused(&self) {
        self.all.count_refused(&mut locked(&self.all.open));
    }

    /// The client does not read what is written to it.
    pub(crate) fn write_is_blocked(&self) {
        // Since the first blocked write, until something is written.
        self.activity.wait_from(self.all.now());
    }

    /// Something was written.
    pub(crate) fn has_written(&self) {
        // `100 Continue` is written while the body is awaited.
        if !self.activity.awaits_body.load(Ordering::Relaxed) {
            self.activity.stop_waiting();
        }
    }
}

impl BodyWait {
    /// The next part of the body has not arrived.
    pub(crate) fn begin(&self) {
        // Since the first time: a client that sends one byte after the other is waited for all the while.
        self.activity.awaits_body.store(true, Ordering::Relaxed);
        self.activity.wait_from(self.all.now());
    }

    /// The body is complete, or is not read any further.
    pub(crate) fn end(&self) {
        if self.activity.awaits_body.swap(false, Ordering::Relaxed) {
            self.activity.stop_waiting();
        }
    }
}

impl Drop for BodyWait {
    fn drop(&mut self) {
        self.end();
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.activity.is_answering.store(false, Ordering::Relaxed);
        self.activity.waits_since.store(self.all.now(), Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = locked(&self.all.open);
        open.by_id.remove(&self.id);
        self.all.exported.set(open.by_id.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections that stay open until they are closed by the server; the places of those that were admitted.
    fn admit(all: &Arc<Connections>, places: &Mutex<Vec<Place>>) -> bool {
        all.admit(|place| {
            locked(places).push(place);
            tokio::spawn(std::future::pending::<()>()).abort_handle()
        })
    }

    #[tokio::test]
    async fn the_connection_that_waited_the_longest_makes_room_and_none_that_answers() {
        let (all, places) = (Connections::new(2), Mutex::default());
        assert!(admit(&all, &places) && admit(&all, &places));
        let answering = locked(&places)[0].answering();
        assert!(admit(&all, &places), "the second one waits for its client");
        assert_eq!(all.take_closings(), Closings { replaced: 1, refused: 0 });
        assert_eq!(all.take_closings(), Closings::default(), "each is reported once");
        let others = locked(&places)[2].answering();
        assert!(admit(&all, &places), "a reserved one");
        let is_reserved: Vec<bool> = locked(&places).iter().map(|place| place.is_reserved).collect();
        assert_eq!(is_reserved, [false, false, false, true]);
        drop((answering, others));
    }

    #[tokio::test]
    async fn past_the_reserved_ones_connections_are_refused_until_one_ends() {
        let (all, places) = (Connections::new(1), Mutex::default());
        let mut answering = Vec::new();
        for _ in 0..=RESERVED {
            assert!(admit(&all, &places));
            answering.extend(locked(&places).last().map(Place::answering));
        }
        assert!(!admit(&all, &places));
        assert_eq!(all.take_closings(), Closings { replaced: 0, refused: 1 });
        answering.pop();
        assert!(admit(&all, &places), "the last one waits for its client now");
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_waits_and_one_that_reads_does_not() {
        let (all, places) = (Connections::new(1), Mutex::default());
        assert!(admit(&all, &places));
        let place = locked(&places).pop().expect("a place");
        let answering = place.answering();
        assert_eq!(place.activity.waits_since(), None);
        place.write_is_blocked();
        assert!(place.activity.waits_since().is_some());
        place.has_written();
        assert_eq!(place.activity.waits_since(), None);
        drop(answering);
        place.has_written();
        assert!(place.activity.waits_since().is_some(), "for the next request");
    }

    #[tokio::test]
    async fn a_request_whose_body_is_withheld_waits_for_its_client() {
        let (all, places) = (Connections::new(1), Mutex::default());
        assert!(admit(&all, &places));
        let place = locked(&places).pop().expect("a place");
        let (answering, body) = (place.answering(), place.body_wait());
        body.begin();
        let since = place.activity.waits_since();
        assert!(since.is_some());
        place.has_written();
        body.begin();
        assert_eq!(
            place.activity.waits_since(),
            since,
            "neither `100 Continue` nor a part of the body ends it"
        );
        body.end();
        assert_eq!(place.activity.waits_since(), None, "the request is being answered");
        body.begin();
        drop(body);
        assert_eq!(place.activity.waits_since(), None, "the body is not wanted");
        drop(answering);
        assert!(place.activity.waits_since().is_some(), "for the next request");
    }

    #[tokio::test]
    async fn connections_that_wait_too_long_are_closed_and_none_that_answers() {
        let (all, places) = (Connections::new(2), Mutex::<Vec<Place>>::default());
        let tasks: Mutex<Vec<tokio::task::JoinHandle<()>>> = Mutex::default();
        for _ in 0..2 {
            all.admit(|place| {
                locked(&places).push(place);
                let task = tokio::spawn(std::future::pending::<()>());
                let handle = task.abort_handle();
                locked(&tasks).push(task);
                handle
            });
        }
        let answering = locked(&places)[0].answering();
        let is_closed = |n: usize| locked(&tasks)[n].is_finished();
        while !is_closed(1) {
            all.close_waiting(Duration::ZERO);
            tokio::task::yield_now().await;
        }
        assert!(!is_closed(0));
        drop(answering);
        while !is_closed(0) {
            all.close_waiting(Duration::ZERO);
            tokio::task::yield_now().await;
        }
    }
}
