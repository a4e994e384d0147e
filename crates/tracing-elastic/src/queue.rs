//! The queue between the threads that log and the thread that sends, and the counts of both.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};

use crate::{counts::Counts, settings::Limits};

/// Whether documents reach Elasticsearch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// No request has been answered yet.
    Starting,
    /// The last request was answered.
    Up,
    /// It was not, or Elasticsearch refuses to work; the reason.
    Down(String),
}

/// Entries of a bulk request, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) body: Vec<u8>,
    /// Where each entry ends.
    ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn push(&mut self, entry: &[u8]) {
        self.body.extend_from_slice(entry);
        self.ends.push(self.body.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.body[begin..*end])
    }

    /// Those entries for which `keeps` has the value true, in the same order.
    pub(crate) fn only(&self, keeps: impl IntoIterator<Item = bool>) -> Self {
        let mut kept = Self::default();
        for (entry, keep) in self.entries().zip(keeps) {
            if keep {
                kept.push(entry);
            }
        }
        kept
    }

    /// The two halves of at least two entries.
    pub(crate) fn halves(&self) -> [Self; 2] {
        let half = self.len() / 2;
        [self.only((0..self.len()).map(|at| at < half)), self.only((0..self.len()).map(|at| at >= half))]
    }
}

/// How documents ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settled {
    pub(crate) indexed: u64,
    pub(crate) already_there: u64,
    pub(crate) dead_lettered: u64,
    pub(crate) dropped: u64,
    /// Bytes of all of them.
    pub(crate) bytes: usize,
}

/// Bounded in bytes and documents; both include what is being sent.
pub(crate) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// There is something to send.
    work: Notify,
    /// Retry at once.
    hurry: Notify,
    /// Notified when a batch is settled, and at the end of the sender.
    settled: Condvar,
    /// When the sender has to give up, from the shutdown on.
    give_up_at: watch::Sender<Option<Instant>>,
}

struct State {
    waiting: VecDeque<Waiting>,
    counts: Counts,
    health: Health,
    /// Dropped since a document reported it.
    unreported: u64,
    /// Documents that have entered the queue, and those whose batch is settled.
    entered: u64,
    left: u64,
    /// Documents that are waited for: those that entered before this one.
    wanted: u64,
    phase: Phase,
}

struct Waiting {
    batch: Batch,
    begun: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Nothing enters any more; the sender works until it has sent everything or has to give up.
    Closing,
    /// The sender has ended.
    Ended,
}

/// What the sender does next.
enum Next {
    Send(Batch),
    Wait(Option<Instant>),
    End,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            counts: Counts::default(),
            health: Health::Starting,
            unreported: 0,
            entered: 0,
            left: 0,
            wanted: 0,
            phase: Phase::Open,
        };
        Self {
            limits,
            state: Mutex::new(state),
            work: Notify::new(),
            hurry: Notify::new(),
            settled: Condvar::new(),
            give_up_at: watch::Sender::new(None),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn counts(&self) -> Counts {
        self.locked().counts
    }

    pub(crate) fn health(&self) -> Health {
        self.locked().health.clone()
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.locked().health = health;
    }

    /// Appends an entry, or drops and counts it. Never waits for more than the copying of other entries.
    pub(crate) fn push(&self, entry: &[u8]) {
        let mut state = self.locked();
        state.counts.accepted += 1;
        let has_room = state.counts.queued < self.limits.queue_max_documents as u64
            && state.counts.queued_bytes + entry.len() as u64 <= self.limits.queue_max_bytes as u64;
        if state.phase != Phase::Open || !has_room {
            state.counts.dropped += 1;
            // After the shutdown began no document can report it.
            state.unreported += u64::from(state.phase == Phase::Open);
            return;
        }
        state.enter(entry.len());
        let fits = |waiting: &&mut Waiting| self.fits(&waiting.batch, entry.len());
        if let Some(last) = state.waiting.back_mut().filter(fits) {
            last.batch.push(entry);
            return;
        }
        let mut batch = Batch::default();
        batch.push(entry);
        state.waiting.push_back(Waiting { batch, begun: Instant::now() });
        drop(state);
        // The first one to be waited with, or the one before is complete.
        self.work.notify_one();
    }

    fn fits(&self, batch: &Batch, bytes: usize) -> bool {
        batch.len() < self.limits.batch_max_documents
            && batch.body.len() + bytes <= self.limits.batch_max_bytes
    }

    /// The next batch: complete, or old enough, or waited for. `None` when everything was sent after the queue was closed. `notice` makes
    /// the document about dropped ones.
    pub(crate) async fn next(&self, notice: impl Fn(u64) -> Vec<u8>) -> Option<Batch> {
        loop {
            let until = match self.take(&notice) {
                Next::Send(batch) => return Some(batch),
                Next::End => return None,
                Next::Wait(until) => until,
            };
            // A notification between the look and the wait is kept.
            match until {
                None => self.work.notified().await,
                Some(until) => tokio::select! {
                    () = self.work.notified() => {}
                    () = tokio::time::sleep_until(until.into()) => {}
                },
            }
        }
    }

    fn take(&self, notice: impl Fn(u64) -> Vec<u8>) -> Next {
        let mut state = self.locked();
        let Some(first) = state.waiting.front() else {
            return match state.phase {
                // The batch that they did not fit beside is settled, and nothing was logged since.
                _ if state.unreported > 0 => Next::Send(state.reported(Batch::default(), notice)),
                Phase::Open => Next::Wait(None),
                Phase::Closing | Phase::Ended => Next::End,
            };
        };
        let due = first.begun + self.limits.flush_interval();
        let is_complete = state.waiting.len() > 1 || !self.fits(&first.batch, 1);
        let is_urgent = state.wanted > state.left || state.phase != Phase::Open;
        if !is_complete && !is_urgent && Instant::now() < due {
            return Next::Wait(Some(due));
        }
        let Some(Waiting { batch, .. }) = state.waiting.pop_front() else { return Next::Wait(None) };
        Next::Send(state.reported(batch, notice))
    }

    /// Counts the ends of documents, and frees their room.
    pub(crate) fn settle(&self, ends: Settled) {
        let Settled { indexed, already_there, dead_lettered, dropped, bytes } = ends;
        let mut state = self.locked();
        let counts = &mut state.counts;
        counts.indexed += indexed;
        counts.already_there += already_there;
        counts.dead_lettered += dead_lettered;
        counts.dropped += dropped;
        counts.queued -= indexed + already_there + dead_lettered + dropped;
        counts.queued_bytes -= bytes as u64;
    }

    /// All documents of a batch are settled.
    pub(crate) fn complete(&self, documents: usize) {
        self.locked().left += documents as u64;
        self.settled.notify_all();
    }

    /// Waits until everything that entered before is settled, or the time has passed; whether it is.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let mut state = self.locked();
        let wanted = state.entered;
        state.wanted = state.wanted.max(wanted);
        self.work.notify_one();
        self.hurry.notify_one();
        let is_waiting = |state: &mut State| state.left < wanted && state.phase != Phase::Ended;
        let waited = self.settled.wait_timeout_while(state, timeout, is_waiting);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.left >= wanted
    }

    /// Closes the queue; the sender gives up after the time. Waits for its end, or somewhat longer than that.
    pub(crate) fn close(&self, timeout: Duration, grace: Duration) {
        let mut state = self.locked();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing;
            self.give_up_at.send_replace(Some(Instant::now() + timeout));
            self.work.notify_one();
            self.hurry.notify_one();
        }
        let is_waiting = |state: &mut State| state.phase != Phase::Ended;
        drop(self.settled.wait_timeout_while(state, timeout + grace, is_waiting));
    }

    /// Resolves at the time at which the sender has to give up; never before the queue is closed.
    pub(crate) async fn overdue(&self) {
        let mut closed = self.give_up_at.subscribe();
        // It cannot fail: the other end is in this struct.
        let until = closed.wait_for(Option::is_some).await.ok().and_then(|until| *until);
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// Waits before a retry; shorter when a flush or the shutdown begins, and during the shutdown.
    pub(crate) async fn wait_for_retry(&self, wait: Duration) {
        let is_closing = self.give_up_at.borrow().is_some();
        let wait = if is_closing { wait.min(Duration::from_millis(self.limits.retry_min_ms)) } else { wait };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.hurry.notified() => {}
        }
    }

    /// Takes what waits, for the sender that gives up.
    pub(crate) fn drain(&self) -> Vec<Batch> {
        self.locked().waiting.drain(..).map(|waiting| waiting.batch).collect()
    }

    /// The sender has ended. What it left, if it panicked, is dropped.
    pub(crate) fn end(&self) {
        let mut state = self.locked();
        state.phase = Phase::Ended;
        state.waiting.clear();
        let counts = &mut state.counts;
        counts.dropped += std::mem::take(&mut counts.queued);
        counts.queued_bytes = 0;
        state.left = state.entered;
        self.settled.notify_all();
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The batch with the document about dropped ones, if there are any. It may be one more than the bound; there is one at a time.
    fn reported(&mut self, mut batch: Batch, notice: impl Fn(u64) -> Vec<u8>) -> Batch {
        if self.unreported > 0 {
            let entry = notice(std::mem::take(&mut self.unreported));
            self.counts.accepted += 1;
            self.enter(entry.len());
            batch.push(&entry);
        }
        batch
    }

    fn enter(&mut self, bytes: usize) {
        self.entered += 1;
        self.counts.queued += 1;
        self.counts.queued_bytes += bytes as u64;
    }
}
