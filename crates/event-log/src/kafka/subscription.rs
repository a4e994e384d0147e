//! Consumes as a member of a group.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    Offset,
    consumer::{CommitMode, Consumer, base_consumer::PartitionQueue},
    error::KafkaError,
};
use tokio::{task::JoinHandle, time::Instant};

use super::{
    arena::Arena,
    broker_queries::{BrokerQueries, at, list_of},
    failure,
    membership::{Context, Member, MemberEvent, Membership},
    seek_task::{SeekTarget, SeekTask},
};
use crate::{
    CommitHandle, Event, EventLogError, Message, Result, StartAt, Subscription, TopicPartition,
    generation::next_generation,
};

/// Longest wait of one call, so that `Duration::MAX` does not overflow the deadline.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// How long one call retries a commit while the broker is unavailable or the group is rebalancing; the next call continues.
/// Well within the shutdown budget of a service.
const COMMIT_LIMIT: Duration = Duration::from_secs(4);
/// How long leaving the group may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);
/// Delay between retries of a commit.
const RETRY: Duration = Duration::from_millis(20);

/// A member of a Kafka group.
pub(crate) struct KafkaSubscription {
    queries: Arc<BrokerQueries>,
    membership: Arc<Membership>,
    member: Option<Arc<Member>>,
    partitions: Vec<Assigned>,
    /// Index of the partition that is polled first; advances so that a full one does not starve the others.
    first_polled: usize,
    /// A commit whose caller was cancelled; the next commit waits for its end.
    commit_in_flight: Option<JoinHandle<Result<(), KafkaError>>>,
    /// Handles that an earlier call could not commit, the furthest of each partition.
    uncommitted: Vec<CommitHandle>,
    /// Continues when the call that started it is cancelled.
    seeking: Option<SeekTask>,
}

struct Assigned {
    topic_partition: TopicPartition,
    generation: u64,
    /// Queue of its messages; set by the first seek.
    queue: Option<PartitionQueue<Context>>,
    paused: bool,
    /// Committed offset since the last seek; earlier handles have no effect.
    committed_to: u64,
    /// The start position, until the client has sought it; nothing is delivered before. With the number of the seek, so that
    /// the end of an earlier seek does not complete a later one.
    pending_start: Option<(StartAt, u64)>,
}

impl Assigned {
    fn is_deliverable(&self) -> bool {
        !self.paused && self.pending_start.is_none()
    }
}

impl KafkaSubscription {
    /// Joins the group; partitions are assigned by events. Blocks.
    pub(crate) fn join(queries: Arc<BrokerQueries>, group: &str, topics: &[String]) -> Result<Self> {
        queries.partitions_of(topics)?;
        let (membership, member) = Membership::join(&queries.settings, group, topics)?;
        Ok(Self {
            queries,
            membership,
            member: Some(member),
            partitions: Vec::new(),
            first_polled: 0,
            commit_in_flight: None,
            uncommitted: Vec::new(),
            seeking: None,
        })
    }

    fn member(&self) -> Result<Arc<Member>> {
        self.member.clone().ok_or(EventLogError::Closed)
    }

    fn find(&mut self, wanted: &TopicPartition) -> Result<&mut Assigned> {
        let found = self.partitions.iter_mut().find(|assigned| assigned.topic_partition == *wanted);
        found.ok_or_else(|| EventLogError::UnknownPartition {
            topic: wanted.topic.to_string(),
            partition: wanted.partition,
        })
    }

    fn apply(&mut self, event: MemberEvent) -> Event {
        match event {
            MemberEvent::Assigned(partitions) => {
                self.partitions.retain(|old| !partitions.iter().any(|(new, _)| *new == old.topic_partition));
                for (topic_partition, generation) in &partitions {
                    self.partitions.push(Assigned {
                        topic_partition: topic_partition.clone(),
                        generation: *generation,
                        queue: None,
                        paused: false,
                        committed_to: 0,
                        pending_start: None,
                    });
                }
                Event::Assigned(partitions.into_iter().map(|(partition, _)| partition).collect())
            }
            MemberEvent::Standby => Event::Standby,
            MemberEvent::Revoked(partitions) => {
                // Their generations stay in the membership until they are given up, so that handles stay valid.
                self.partitions.retain(|assigned| !partitions.contains(&assigned.topic_partition));
                Event::Revoked(partitions)
            }
        }
    }

    fn messages(&mut self, max: usize) -> Vec<Message> {
        let mut arena = Arena::default();
        let count = self.partitions.len();
        self.first_polled = self.first_polled.wrapping_add(1);
        for step in 0..count {
            let assigned = &self.partitions[self.first_polled.wrapping_add(step) % count];
            let Some(queue) = assigned.queue.as_ref().filter(|_| assigned.is_deliverable()) else {
                continue;
            };
            while !arena.is_full(max) {
                match queue.poll(Duration::ZERO) {
                    Some(Ok(message)) => {
                        arena.push(&assigned.topic_partition, Some(assigned.generation), &message);
                    }
                    Some(Err(error)) => self.membership.report(&error),
                    None => break,
                }
            }
        }
        arena.finish()
    }

    /// Starts a seek of the partitions with a pending start position.
    fn begin_seek(&mut self) -> Result<()> {
        if self.seeking.is_some() {
            return Ok(());
        }
        let wanted = |assigned: &Assigned| {
            let (start, seek) = assigned.pending_start?;
            let (partition, generation) = (assigned.topic_partition.clone(), assigned.generation);
            Some(SeekTarget { partition, generation, start, seek })
        };
        let targets: Vec<SeekTarget> = self.partitions.iter().filter_map(wanted).collect();
        if !targets.is_empty() {
            let member = self.member()?;
            self.seeking = Some(SeekTask::begin(&self.queries, &self.membership, member, targets));
        }
        Ok(())
    }

    /// Waits for the seek in progress, if there is one, and starts the delivery of its partitions.
    async fn end_seek(&mut self) -> Result<()> {
        let Some(seeking) = &mut self.seeking else { return Ok(()) };
        let ended = (&mut seeking.work).await;
        let targets = self.seeking.take().map(|seeking| seeking.targets).unwrap_or_default();
        ended.map_err(|_| EventLogError::Closed)??;
        let member = self.member()?;
        for target in targets {
            let is_target = |assigned: &&mut Assigned| {
                assigned.topic_partition == target.partition
                    && assigned.generation == target.generation
                    && assigned.pending_start.is_some_and(|(_, seek)| seek == target.seek)
            };
            // There may have been another seek or a revocation meanwhile.
            let Some(assigned) = self.partitions.iter_mut().find(is_target) else { continue };
            assigned.pending_start = None;
            let (topic, number) = (&target.partition.topic, target.partition.partition);
            if assigned.queue.is_none()
                && let Some(mut queue) = member.split_partition_queue(topic, number)
            {
                let membership = Arc::clone(&self.membership);
                queue.set_nonempty_callback(move || membership.wakeup.notify_one());
                assigned.queue = Some(queue);
                let list = list_of(std::slice::from_ref(&target.partition), |_| Offset::Invalid);
                list.and_then(|list| member.resume(&list))
                    .map_err(|error| self.queries.settings.failure(&error))?;
            }
        }
        Ok(())
    }

    fn is_seek_done(&self) -> bool {
        self.seeking.as_ref().is_some_and(|seeking| seeking.work.is_finished())
    }

    /// The offset to commit for each partition, and the number of handles of ended assignments.
    fn accept(&self, handles: &[CommitHandle]) -> (BTreeMap<TopicPartition, u64>, usize) {
        let (mut furthest, mut stale) = (BTreeMap::<TopicPartition, u64>::new(), 0);
        for CommitHandle { position, generation } in handles {
            if self.membership.generation(&position.topic_partition) == Some(*generation) {
                let next = furthest.entry(position.topic_partition.clone()).or_default();
                *next = (*next).max(position.offset + 1);
            } else {
                stale += 1;
            }
        }
        let committed_to = |partition: &TopicPartition| {
            let assigned = self.partitions.iter().find(|assigned| assigned.topic_partition == *partition);
            assigned.map_or(0, |assigned| assigned.committed_to)
        };
        furthest.retain(|partition, next| *next > committed_to(partition));
        (furthest, stale)
    }

    fn set_committed(&mut self, offsets: &BTreeMap<TopicPartition, u64>) {
        for assigned in &mut self.partitions {
            if let Some(next) = offsets.get(&assigned.topic_partition) {
                assigned.committed_to = *next;
            }
        }
    }

    async fn commit_once(&mut self, offsets: &BTreeMap<TopicPartition, u64>) -> Result<(), KafkaError> {
        if let Some(earlier) = &mut self.commit_in_flight {
            let _ = earlier.await;
            self.commit_in_flight = None;
        }
        let Some(member) = self.member.clone() else {
            return Err(KafkaError::Canceled);
        };
        let partitions: Vec<_> = offsets.keys().cloned().collect();
        let list = list_of(&partitions, |partition| at(offsets.get(partition).copied().unwrap_or(0)))?;
        let commit = tokio::task::spawn_blocking(move || member.commit(&list, CommitMode::Sync));
        let result = self.commit_in_flight.insert(commit).await;
        self.commit_in_flight = None;
        result.map_err(|_| KafkaError::Canceled)?
    }

    async fn commit_with_retries(&mut self, handles: &[CommitHandle]) -> Result<usize> {
        let deadline = Instant::now() + COMMIT_LIMIT;
        loop {
            // Again for each attempt: partitions may have been revoked meanwhile.
            let (offsets, stale) = self.accept(handles);
            if offsets.is_empty() {
                return Ok(stale);
            }
            let tried = tokio::time::timeout_at(deadline, self.commit_once(&offsets)).await;
            let error = match tried {
                Err(_) => return Err(self.queries.settings.timed_out("committing offsets")),
                Ok(Ok(())) => {
                    self.set_committed(&offsets);
                    return Ok(stale);
                }
                Ok(Err(error)) => error,
            };
            // A rebalance changes the group's generation; partitions that stay are committed under the new one.
            let may_retry = |code| failure::is_transient(code) || failure::is_of_another_generation(code);
            if !error.rdkafka_error_code().is_some_and(may_retry) || Instant::now() >= deadline {
                return Err(self.queries.settings.failure(&error));
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next(&mut self, max_messages: usize, max_wait: Duration) -> Result<Event> {
        let deadline = Instant::now() + max_wait.min(LONGEST_WAIT);
        let membership = Arc::clone(&self.membership);
        membership.owner_polls();
        loop {
            if let Some(event) = membership.next_event()? {
                return Ok(self.apply(event));
            }
            self.begin_seek()?;
            if self.is_seek_done() {
                self.end_seek().await?;
            }
            let messages = self.messages(max_messages);
            if !messages.is_empty() || Instant::now() >= deadline {
                return Ok(Event::Messages(messages));
            }
            let is_seeking = self.seeking.is_some();
            tokio::select! {
                // A notification since the checks above is not lost.
                () = membership.wakeup.notified() => {}
                sought = self.end_seek(), if is_seeking => sought?,
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    async fn start(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<()> {
        let seek = next_generation();
        for (partition, at) in starts {
            let assigned = self.find(partition)?;
            assigned.committed_to = 0;
            assigned.pending_start = Some((*at, seek));
        }
        loop {
            self.begin_seek()?;
            match self.end_seek().await {
                Err(error) if error.is_transient() => {
                    // The start positions stay pending, and `next` applies them.
                    tracing::debug!(%error, "cannot seek yet");
                    return Ok(());
                }
                result => result?,
            }
            let is_pending =
                |assigned: &Assigned| assigned.pending_start.is_some_and(|(_, wanted)| wanted == seek);
            if !self.partitions.iter().any(is_pending) {
                return Ok(());
            }
        }
    }

    fn handle_before(&self, partition: &TopicPartition, next_offset: u64) -> Option<CommitHandle> {
        let generation = self.membership.generation(partition)?;
        CommitHandle::before(partition, next_offset, generation)
    }

    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        // Not the client's pause, which discards fetched messages. Its queue is bounded, so fetching stops by itself.
        for assigned in self.partitions.iter_mut().filter(|known| partitions.contains(&known.topic_partition))
        {
            assigned.paused = true;
        }
        Ok(())
    }

    async fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        for assigned in self.partitions.iter_mut().filter(|known| partitions.contains(&known.topic_partition))
        {
            assigned.paused = false;
        }
        Ok(())
    }

    async fn commit(&mut self, mut handles: Vec<CommitHandle>) -> Result<usize> {
        let is_current = |handle: &CommitHandle| {
            self.membership.generation(&handle.position.topic_partition) == Some(handle.generation)
        };
        handles.extend(std::mem::take(&mut self.uncommitted).into_iter().filter(is_current));
        let committed = self.commit_with_retries(&handles).await;
        if committed.as_ref().is_err_and(EventLogError::is_transient) {
            self.uncommitted = furthest_of(handles);
        }
        committed
    }

    async fn leave(self: Box<Self>) {
        let membership = Arc::clone(&self.membership);
        drop(self);
        if tokio::time::timeout(LEAVE_LIMIT, membership.left.notified()).await.is_err() {
            tracing::warn!(
                "kafka did not respond when this member left the group; other members get its partitions after the session timeout"
            );
        }
    }
}

/// The furthest handle of each partition.
fn furthest_of(handles: Vec<CommitHandle>) -> Vec<CommitHandle> {
    let mut furthest: BTreeMap<TopicPartition, CommitHandle> = BTreeMap::new();
    for handle in handles {
        let is_further = furthest.get(&handle.position.topic_partition).is_none_or(|known| {
            (known.generation, known.position.offset) < (handle.generation, handle.position.offset)
        });
        if is_further {
            furthest.insert(handle.position.topic_partition.clone(), handle);
        }
    }
    furthest.into_values().collect()
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        // The thread of the membership must be the last owner of the client, as closing it blocks.
        self.partitions.clear();
        self.member = None;
        self.membership.close();
    }
}
