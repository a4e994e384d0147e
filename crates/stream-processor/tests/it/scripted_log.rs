//! A log in memory, whose assignments, revocations and failures a test chooses.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use event_log::{
    CommitHandle, Event, EventLog, EventLogError, LogAdmin, LogDescription, Message, NewRecord, PartitionLag,
    Position, Publisher, Receipt, Result, StartAt, Subscription, TopicInfo, TopicPartition, TopicSpec,
};
use tokio::{sync::Notify, time::Instant};

/// The log; clones share it.
#[derive(Clone, Default)]
pub(crate) struct ScriptedLog {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) identity: String,
    pub(crate) partitions: BTreeMap<TopicPartition, Vec<(Bytes, Bytes)>>,
    /// What the member is yet to be given.
    events: VecDeque<Event>,
    /// Assigned partitions with the number of their assignment.
    assigned: BTreeMap<TopicPartition, u64>,
    assignments: u64,
    started: BTreeMap<TopicPartition, u64>,
    paused: BTreeSet<TopicPartition>,
    pub(crate) committed: BTreeMap<TopicPartition, u64>,
    /// So many of the next commits fail.
    pub(crate) failing_commits: u32,
    pub(crate) polls: u64,
    pub(crate) published: Vec<(String, NewRecord)>,
}

impl ScriptedLog {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn append(&self, partition: &TopicPartition, records: &[(&str, String)]) {
        let records = records.iter().map(|(key, payload)| {
            (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(payload.as_bytes()))
        });
        self.state().partitions.entry(partition.clone()).or_default().extend(records);
        self.changed.notify_waiters();
    }

    pub(crate) fn assign(&self, partitions: &[TopicPartition]) {
        let mut state = self.state();
        for partition in partitions {
            state.partitions.entry(partition.clone()).or_default();
        }
        state.events.push_back(Event::Assigned(partitions.to_vec()));
        drop(state);
        self.changed.notify_waiters();
    }

    pub(crate) fn revoke(&self, partitions: &[TopicPartition]) {
        self.state().events.push_back(Event::Revoked(partitions.to_vec()));
        self.changed.notify_waiters();
    }

    /// Another log in the place of this one, under the same assignment: the next message has the first offset again.
    pub(crate) fn replace(&self, identity: &str) {
        let mut state = self.state();
        identity.clone_into(&mut state.identity);
        state.partitions.values_mut().for_each(Vec::clear);
        state.started.values_mut().for_each(|next| *next = 0);
        state.committed.clear();
    }
}

impl State {
    /// The next event of the script, or messages.
    fn next(&mut self, max: usize) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            match &event {
                Event::Assigned(partitions) => {
                    for partition in partitions {
                        self.assignments += 1;
                        self.assigned.insert(partition.clone(), self.assignments);
                        self.started.remove(partition);
                    }
                }
                Event::Revoked(partitions) => {
                    self.started.retain(|known, _| !partitions.contains(known));
                }
                Event::Standby | Event::Messages(_) => {}
            }
            return Some(event);
        }
        let mut messages = Vec::new();
        for (partition, next) in &mut self.started {
            if self.paused.contains(partition) {
                continue;
            }
            let Some(records) = self.partitions.get(partition) else { continue };
            let generation = self.assigned.get(partition).copied().unwrap_or_default();
            while messages.len() < max
                && let Some((key, payload)) = records.get(*next as usize)
            {
                let position = Position { topic_partition: partition.clone(), offset: *next };
                messages.push(Message {
                    position: position.clone(),
                    key: Some(key.clone()),
                    payload: payload.clone(),
                    headers: Vec::new(),
                    timestamp: Utc::now(),
                    handle: Some(CommitHandle::new(position, generation)),
                });
                *next += 1;
            }
        }
        (!messages.is_empty()).then_some(Event::Messages(messages))
    }

    fn end(&self, partition: &TopicPartition) -> u64 {
        self.partitions.get(partition).map_or(0, |records| records.len() as u64)
    }
}

struct Member(ScriptedLog);

#[async_trait]
impl Subscription for Member {
    async fn next(&mut self, max_messages: usize, max_wait: Duration) -> Result<Event> {
        let deadline = Instant::now() + max_wait;
        self.0.state().polls += 1;
        loop {
            let changed = self.0.changed.notified();
            if let Some(event) = self.0.state().next(max_messages) {
                return Ok(event);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return Ok(Event::Messages(Vec::new()));
            }
        }
    }

    async fn start(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<()> {
        for (partition, at) in starts {
            let mut state = self.0.state();
            let next = match at {
                StartAt::Offset(offset) if *offset <= state.end(partition) => *offset,
                StartAt::End => state.end(partition),
                _ => 0,
            };
            state.started.insert(partition.clone(), next);
        }
        Ok(())
    }

    fn handle_before(&self, partition: &TopicPartition, next_offset: u64) -> Option<CommitHandle> {
        let generation = *self.0.state().assigned.get(partition)?;
        let position = Position { topic_partition: partition.clone(), offset: next_offset.checked_sub(1)? };
        Some(CommitHandle::new(position, generation))
    }

    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.state().paused.extend(partitions.iter().cloned());
        Ok(())
    }

    async fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.0.state().paused.retain(|known| !partitions.contains(known));
        Ok(())
    }

    async fn commit(&mut self, handles: Vec<CommitHandle>) -> Result<usize> {
        let mut state = self.0.state();
        if state.failing_commits > 0 {
            state.failing_commits -= 1;
            return Err(unavailable());
        }
        let mut stale = 0;
        for handle in handles {
            let Position { topic_partition, offset } = handle.position().clone();
            if state.assigned.get(&topic_partition) == Some(&handle.generation()) {
                let committed = state.committed.entry(topic_partition).or_default();
                *committed = (*committed).max(offset + 1);
            } else {
                stale += 1;
            }
        }
        Ok(stale)
    }

    async fn leave(self: Box<Self>) {}
}

fn unavailable() -> EventLogError {
    EventLogError::Unavailable { brokers: "the scripted log".to_owned(), reason: "is down".to_owned() }
}

struct Recorder(ScriptedLog);

#[async_trait]
impl Publisher for Recorder {
    async fn send(&self, topic: &str, records: Vec<NewRecord>) -> Result<Receipt> {
        let records = records.into_iter().map(|record| (topic.to_owned(), record));
        self.0.state().published.extend(records);
        Ok(Receipt::stored(Vec::new()))
    }
}

#[async_trait]
impl LogAdmin for ScriptedLog {
    async fn ensure_topics(&self, _specs: &[TopicSpec]) -> Result<()> {
        Ok(())
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        Ok(Vec::new())
    }

    async fn describe(&self) -> Result<LogDescription> {
        Ok(LogDescription::default())
    }

    async fn probe(&self) -> Result<DateTime<Utc>> {
        Err(unavailable())
    }
}

#[async_trait]
impl EventLog for ScriptedLog {
    async fn identities(&self, topics: &[&str]) -> Result<BTreeMap<String, String>> {
        let identity = self.state().identity.clone();
        Ok(topics.iter().map(|topic| ((*topic).to_owned(), identity.clone())).collect())
    }

    async fn bounds(&self, _topics: &[&str]) -> Result<BTreeMap<TopicPartition, Range<u64>>> {
        let state = self.state();
        Ok(state.partitions.keys().map(|known| (known.clone(), 0..state.end(known))).collect())
    }

    fn publisher(&self) -> Result<Arc<dyn Publisher>> {
        Ok(Arc::new(Recorder(self.clone())))
    }

    async fn subscribe(&self, _group: &str, _topics: &[&str]) -> Result<Box<dyn Subscription>> {
        Ok(Box::new(Member(self.clone())))
    }

    async fn read(&self, _partition: &TopicPartition, _offset: u64, _max: usize) -> Result<Vec<Message>> {
        Err(unavailable())
    }

    async fn lag(&self, _group: &str, _topics: &[&str]) -> Result<Vec<PartitionLag>> {
        let state = self.state();
        let lag = |partition: &TopicPartition| {
            let (committed, end) = (state.committed.get(partition).copied(), state.end(partition));
            let lag = end - committed.unwrap_or(0).min(end);
            PartitionLag { topic_partition: partition.clone(), committed, first: 0, end, lag }
        };
        Ok(state.partitions.keys().map(lag).collect())
    }
}
