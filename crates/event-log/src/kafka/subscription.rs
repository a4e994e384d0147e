//! The way out.

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
    membership::{Context, Member, Membership, News},
    seek_task::{SeekTarget, SeekTask},
};
use crate::{
    CommitHandle, Event, EventLogError, Message, Result, StartAt, Subscription, TopicPartition,
    generation::next_generation,
};

/// Longest wait of one call, so that a careless `Duration::MAX` does not overflow the clock.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// How long one call tries a commit while the broker is away or the group is being rebalanced; what it owes then is left to
/// the next. Well within the time that a service has for its end.
const COMMIT_LIMIT: Duration = Duration::from_secs(4);
/// How long the group may take to let us go.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);
/// Between two tries of one.
const RETRY: Duration = Duration::from_millis(20);

/// A member of a Kafka group.
pub(crate) struct KafkaSubscription {
    queries: Arc<BrokerQueries>,
    membership: Arc<Membership>,
    member: Option<Arc<Member>>,
    partitions: Vec<Assigned>,
    /// The partition that is asked first; moves on so that a full one does not starve the others.
    turn: usize,
    /// A commit whose caller did not wait for its end; the next one follows it.
    commit_under_way: Option<JoinHandle<Result<(), KafkaError>>>,
    /// What an earlier call could not commit, the furthest of each partition.
    owed: Vec<CommitHandle>,
    /// Goes on when the call that began it is cancelled.
    seeking: Option<SeekTask>,
}

struct Assigned {
    topic_partition: TopicPartition,
    generation: u64,
    /// Its messages, from the first seek on.
    queue: Option<PartitionQueue<Context>>,
    paused: bool,
    /// Where commits have come to since the last seek; earlier handles change nothing.
    committed_to: u64,
    /// Where its delivery is to begin, until the client has sought it; nothing is delivered before. With the number of the
    /// seek, so that a later one is not taken for done.
    wanted: Option<(StartAt, u64)>,
}

impl Assigned {
    fn is_flowing(&self) -> bool {
        !self.paused && self.wanted.is_none()
    }
}

impl KafkaSubscription {
    /// Joins the group; the partitions come as events. Blocks.
    pub(crate) fn join(queries: Arc<BrokerQueries>, group: &str, topics: &[String]) -> Result<Self> {
        queries.partitions_of(topics)?;
        let (membership, member) = Membership::join(&queries.settings, group, topics)?;
        Ok(Self {
            queries,
            membership,
            member: Some(member),
            partitions: Vec::new(),
            turn: 0,
            commit_under_way: None,
            owed: Vec::new(),
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

    fn tell(&mut self, news: News) -> Event {
        match news {
            News::Assigned(partitions) => {
                self.partitions.retain(|old| !partitions.iter().any(|(new, _)| *new == old.topic_partition));
                for (topic_partition, generation) in &partitions {
                    self.partitions.push(Assigned {
                        topic_partition: topic_partition.clone(),
                        generation: *generation,
                        queue: None,
                        paused: false,
                        committed_to: 0,
                        wanted: None,
                    });
                }
                Event::Assigned(partitions.into_iter().map(|(partition, _)| partition).collect())
            }
            News::Standby => Event::Standby,
            News::Revoked(partitions) => {
                // Their numbers stay with the membership until they are given up, so that handles still count.
                self.partitions.retain(|assigned| !partitions.contains(&assigned.topic_partition));
                Event::Revoked(partitions)
            }
        }
    }

    fn messages(&mut self, max: usize) -> Vec<Message> {
        let mut arena = Arena::default();
        let count = self.partitions.len();
        self.turn = self.turn.wrapping_add(1);
        for place in 0..count {
            let assigned = &self.partitions[self.turn.wrapping_add(place) % count];
            let Some(queue) = assigned.queue.as_ref().filter(|_| assigned.is_flowing()) else {
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

    /// Begins to seek the partitions whose start was set.
    fn begin_seek(&mut self) -> Result<()> {
        if self.seeking.is_some() {
            return Ok(());
        }
        let wanted = |assigned: &Assigned| {
            let (start, seek) = assigned.wanted?;
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

    /// Waits for the seek under way, if there is one, and starts the delivery of its partitions.
    async fn end_seek(&mut self) -> Result<()> {
        let Some(seeking) = &mut self.seeking else { return Ok(()) };
        let ended = (&mut seeking.work).await;
        let targets = self.seeking.take().map(|seeking| seeking.targets).unwrap_or_default();
        ended.map_err(|_| EventLogError::Closed)??;
        let member = self.member()?;
        for target in targets {
            let is_of_it = |assigned: &&mut Assigned| {
                assigned.topic_partition == target.partition
                    && assigned.generation == target.generation
                    && assigned.wanted.is_some_and(|(_, seek)| seek == target.seek)
            };
            // Another seek, or the end of the assignment, may have come between.
            let Some(assigned) = self.partitions.iter_mut().find(is_of_it) else { continue };
            assigned.wanted = None;
            let (topic, number) = (&target.partition.topic, target.partition.partition);
            if assigned.queue.is_none()
                && let Some(mut queue) = member.split_partition_queue(topic, number)
            {
                let membership = Arc::clone(&self.membership);
                queue.set_nonempty_callback(move || membership.something.notify_one());
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

    /// Sorts out what of the handles counts: where each partition moves to, and how many handles came too late.
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

    fn has_committed(&mut self, offsets: &BTreeMap<TopicPartition, u64>) {
        for assigned in &mut self.partitions {
            if let Some(next) = offsets.get(&assigned.topic_partition) {
                assigned.committed_to = *next;
            }
        }
    }

    async fn commit_once(&mut self, offsets: &BTreeMap<TopicPartition, u64>) -> Result<(), KafkaError> {
        if let Some(earlier) = &mut self.commit_under_way {
            let _ = earlier.await;
            self.commit_under_way = None;
        }
        let Some(member) = self.member.clone() else {
            return Err(KafkaError::Canceled);
        };
        let partitions: Vec<_> = offsets.keys().cloned().collect();
        let list = list_of(&partitions, |partition| at(offsets.get(partition).copied().unwrap_or(0)))?;
        let commit = tokio::task::spawn_blocking(move || member.commit(&list, CommitMode::Sync));
        let result = self.commit_under_way.insert(commit).await;
        self.commit_under_way = None;
        result.map_err(|_| KafkaError::Canceled)?
    }

    async fn commit_in_time(&mut self, handles: &[CommitHandle]) -> Result<usize> {
        let deadline = Instant::now() + COMMIT_LIMIT;
        loop {
            // Looked at again for each try: the partitions may have gone meanwhile.
            let (offsets, stale) = self.accept(handles);
            if offsets.is_empty() {
                return Ok(stale);
            }
            let tried = tokio::time::timeout_at(deadline, self.commit_once(&offsets)).await;
            let error = match tried {
                Err(_) => return Err(self.queries.settings.no_answer("committing")),
                Ok(Ok(())) => {
                    self.has_committed(&offsets);
                    return Ok(stale);
                }
                Ok(Err(error)) => error,
            };
            // A rebalance changes the group's generation; partitions that stay can be committed under the new one.
            let passing = |code| failure::is_transient(code) || failure::is_of_another_generation(code);
            if !error.rdkafka_error_code().is_some_and(passing) || Instant::now() >= deadline {
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
        membership.owner_asks();
        loop {
            if let Some(news) = membership.news()? {
                return Ok(self.tell(news));
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
                // Keeps a notice that came while we looked.
                () = membership.something.notified() => {}
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
            assigned.wanted = Some((*at, seek));
        }
        loop {
            self.begin_seek()?;
            match self.end_seek().await {
                Err(error) if error.is_transient() => {
                    // The starts stay wanted, and `next` applies them.
                    tracing::debug!(%error, "cannot seek yet");
                    return Ok(());
                }
                result => result?,
            }
            let is_wanted = |assigned: &Assigned| assigned.wanted.is_some_and(|(_, wanted)| wanted == seek);
            if !self.partitions.iter().any(is_wanted) {
                return Ok(());
            }
        }
    }

    fn handle_before(&self, partition: &TopicPartition, next_offset: u64) -> Option<CommitHandle> {
        let generation = self.membership.generation(partition)?;
        CommitHandle::before(partition, next_offset, generation)
    }

    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        // Not the client's pause: that throws away what was fetched. Its queue is bounded, so fetching stops by itself.
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
        let ours = |handle: &CommitHandle| {
            self.membership.generation(&handle.position.topic_partition) == Some(handle.generation)
        };
        handles.extend(std::mem::take(&mut self.owed).into_iter().filter(ours));
        let committed = self.commit_in_time(&handles).await;
        if committed.as_ref().is_err_and(EventLogError::is_transient) {
            self.owed = furthest_of(handles);
        }
        committed
    }

    async fn leave(self: Box<Self>) {
        let membership = Arc::clone(&self.membership);
        drop(self);
        if tokio::time::timeout(LEAVE_LIMIT, membership.left.notified()).await.is_err() {
            tracing::warn!("kafka did not answer when the group was left; others get the partitions later");
        }
    }
}

/// Of each partition the handle that stands for the others.
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
        // The thread shall be the last to hold the client, as closing it blocks.
        self.partitions.clear();
        self.member = None;
        self.membership.close();
    }
}
