//! Consumes as a member of a group of the embedded log.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

use super::{
    Shared,
    balance::Member,
    catalog::Partition,
    delivery::Delivery,
    groups::{Accepted, Group, MemberUpdate},
    reader::PartitionReader,
    writer::{Commit, Op},
};
use crate::{CommitHandle, Event, EventLogError, Message, Result, StartAt, Subscription, TopicPartition};

/// Longest wait of one call, so that `Duration::MAX` does not overflow the deadline.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A member of a group of the embedded log.
pub(crate) struct SqliteSubscription {
    shared: Arc<Shared>,
    group: Arc<Group>,
    member: Member,
    readers: Vec<PartitionReader>,
    /// Index of the reader that is polled first; advances so that a full partition does not starve the others.
    first_polled: usize,
    changed: watch::Receiver<u64>,
}

impl SqliteSubscription {
    /// Joins the group; partitions are assigned by events.
    pub(crate) fn join(shared: Arc<Shared>, group: &str, partitions: &[Arc<Partition>]) -> Self {
        let group = shared.groups.get_or_create(group);
        let changed = shared.changed.subscribe();
        let member = group.join(partitions);
        shared.wake();
        Self { shared, group, member, readers: Vec::new(), first_polled: 0, changed }
    }

    fn reader(&mut self, wanted: &TopicPartition) -> Result<&mut PartitionReader> {
        let known = self.readers.iter_mut().find(|reader| reader.partition.id == *wanted);
        known.ok_or_else(|| EventLogError::UnknownPartition {
            topic: wanted.topic.to_string(),
            partition: wanted.partition,
        })
    }

    async fn read(&mut self, max: usize) -> Result<Vec<Message>> {
        let mut delivery = Delivery::new(max);
        let count = self.readers.len();
        self.first_polled = self.first_polled.wrapping_add(1);
        for step in 0..count {
            let reader = &mut self.readers[(self.first_polled.wrapping_add(step)) % count];
            match reader.read(&self.shared.files, &mut delivery).await {
                Err(error) if delivery.is_empty() => return Err(error),
                // Delivers the messages of other partitions; the failure occurs again in a later call.
                Err(_) => break,
                Ok(()) if delivery.is_full() => break,
                Ok(()) => {}
            }
        }
        Ok(delivery.into_messages())
    }

    fn assign(&mut self, partitions: Vec<(TopicPartition, u64)>) -> Result<Event> {
        let mut assigned = Vec::with_capacity(partitions.len());
        for (topic_partition, generation) in partitions {
            let partition = self.shared.catalog.partition(&topic_partition)?;
            self.readers.retain(|reader| reader.partition.id != topic_partition);
            self.readers.push(PartitionReader::new(partition, Some(generation)));
            assigned.push(topic_partition);
        }
        Ok(Event::Assigned(assigned))
    }

    fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) {
        for reader in &mut self.readers {
            if partitions.contains(&reader.partition.id) {
                reader.paused = paused;
            }
        }
    }
}

impl Drop for SqliteSubscription {
    fn drop(&mut self) {
        self.group.leave(self.member);
        self.shared.wake();
    }
}

#[async_trait]
impl Subscription for SqliteSubscription {
    async fn leave(self: Box<Self>) {
        // Dropping the subscription leaves the group.
    }

    async fn next(&mut self, max_messages: usize, max_wait: Duration) -> Result<Event> {
        let deadline = Instant::now() + max_wait.min(LONGEST_WAIT);
        loop {
            // Before the checks below, so that a change during them ends the wait.
            self.changed.mark_unchanged();
            let (poll, freed) = self.group.poll(self.member);
            if freed {
                self.shared.wake();
            }
            let poll_again = match poll {
                MemberUpdate::Revoked(partitions) => {
                    self.readers.retain(|reader| !partitions.contains(&reader.partition.id));
                    return Ok(Event::Revoked(partitions));
                }
                MemberUpdate::Assigned(partitions) => return self.assign(partitions),
                MemberUpdate::Standby => return Ok(Event::Standby),
                MemberUpdate::Unchanged(poll_again) => poll_again,
            };
            let messages = self.read(max_messages).await?;
            if !messages.is_empty() || Instant::now() >= deadline {
                return Ok(Event::Messages(messages));
            }
            let until = poll_again.map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                changed = self.changed.changed() => changed.map_err(|_| EventLogError::Closed)?,
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    async fn start(&mut self, starts: &[(TopicPartition, StartAt)]) -> Result<()> {
        let group = Arc::clone(&self.group);
        for (partition, at) in starts {
            let reader = self.reader(partition)?;
            let (first, end) = reader.partition.bounds();
            reader.begin_at(at.offset_in(partition, first, end));
            if let Some(generation) = reader.generation {
                group.on_seek(partition, generation);
            }
        }
        Ok(())
    }

    fn handle_before(&self, partition: &TopicPartition, next_offset: u64) -> Option<CommitHandle> {
        let reader = self.readers.iter().find(|reader| reader.partition.id == *partition)?;
        CommitHandle::before(partition, next_offset, reader.generation?)
    }

    async fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, true);
        Ok(())
    }

    async fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        self.set_paused(partitions, false);
        Ok(())
    }

    async fn commit(&mut self, handles: Vec<CommitHandle>) -> Result<usize> {
        let Accepted { offsets, stale, permit } =
            self.group.accept(self.member, handles, &self.shared.changed);
        if offsets.is_empty() {
            return Ok(stale);
        }
        let located: Result<Vec<_>> = offsets
            .into_iter()
            .map(|(partition, next)| Ok((self.shared.catalog.partition(&partition)?, next)))
            .collect();
        let (offsets, group) = (located?, Arc::clone(&self.group));
        let (reply, answer) = oneshot::channel();
        let commit = Op::Commit(Commit { group, offsets, permit, reply });
        self.shared.ops.send(commit).await.map_err(|_| EventLogError::Closed)?;
        answer.await.map_err(|_| EventLogError::Closed)??;
        Ok(stale)
    }
}
