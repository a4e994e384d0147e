//! Seeks in the client. A seek sends queries to the broker, which may be unavailable or, right after a topic was created, have
//! no leader for it yet. So it runs in a separate task, which retries, and callers need not wait for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::task::JoinHandle;

use super::{
    broker_queries::{BrokerQueries, REQUEST_TIMEOUT, at, list_of},
    membership::{Member, Membership},
};
use crate::{EventLogError, Result, StartAt, TopicPartition};

/// How long an unavailable broker is retried before the owner of the subscription gets the error.
const RETRY_LIMIT: Duration = Duration::from_secs(3);
/// How long the client may take until it can seek in a new assignment.
const SEEK_LIMIT: Duration = Duration::from_secs(10);
/// Delay between retries.
const RETRY: Duration = Duration::from_millis(50);

/// The start position of a partition.
#[derive(Clone)]
pub(crate) struct SeekTarget {
    pub(crate) partition: TopicPartition,
    /// The assignment that it belongs to.
    pub(crate) generation: u64,
    pub(crate) start: StartAt,
    /// The number of the seek.
    pub(crate) seek: u64,
}

/// A seek of several partitions in progress.
pub(crate) struct SeekTask {
    pub(crate) targets: Vec<SeekTarget>,
    pub(crate) work: JoinHandle<Result<()>>,
}

impl SeekTask {
    pub(crate) fn begin(
        queries: &Arc<BrokerQueries>,
        membership: &Arc<Membership>,
        member: Arc<Member>,
        targets: Vec<SeekTarget>,
    ) -> Self {
        let work = Work {
            queries: Arc::clone(queries),
            membership: Arc::clone(membership),
            member,
            targets: targets.clone(),
        };
        Self { targets, work: tokio::task::spawn_blocking(move || work.run()) }
    }
}

struct Work {
    queries: Arc<BrokerQueries>,
    membership: Arc<Membership>,
    member: Arc<Member>,
    targets: Vec<SeekTarget>,
}

impl Work {
    fn run(mut self) -> Result<()> {
        let deadline = Instant::now() + RETRY_LIMIT;
        loop {
            // A partition that was revoked meanwhile needs no seek; its event follows.
            self.targets
                .retain(|target| self.membership.generation(&target.partition) == Some(target.generation));
            match self.seek_all() {
                Err(error)
                    if error.is_transient() && Instant::now() < deadline && !self.membership.is_closing() =>
                {
                    std::thread::sleep(RETRY);
                }
                result => return result,
            }
        }
    }

    fn seek_all(&self) -> Result<()> {
        for (target, offset) in self.targets.iter().zip(self.offsets()?) {
            self.seek(target, offset)?;
        }
        Ok(())
    }

    /// The current offsets of the targets.
    fn offsets(&self) -> Result<Vec<u64>> {
        let partitions: Vec<TopicPartition> =
            self.targets.iter().map(|target| target.partition.clone()).collect();
        let bounds = self.queries.bounds(&partitions)?;
        let offset = |target: &SeekTarget| {
            let (first, end) = bounds.get(&target.partition).copied().unwrap_or_default();
            target.start.offset_in(&target.partition, first, end)
        };
        Ok(self.targets.iter().map(offset).collect())
    }

    fn seek(&self, target: &SeekTarget, offset: u64) -> Result<()> {
        let settings = &self.queries.settings;
        let deadline = Instant::now() + SEEK_LIMIT;
        while self.membership.generation(&target.partition) == Some(target.generation) {
            match self.seek_once(&target.partition, offset) {
                Ok(()) => break,
                // This error has no code.
                Err(KafkaError::Seek(reason)) => {
                    return Err(EventLogError::Unavailable { brokers: settings.brokers.clone(), reason });
                }
                Err(error) if !may_seek_later(&error) => return Err(settings.failure(&error)),
                Err(_) if self.membership.is_closing() || Instant::now() >= deadline => {
                    return Err(settings.timed_out("waiting for an assigned partition"));
                }
                Err(_) => std::thread::sleep(RETRY),
            }
        }
        Ok(())
    }

    fn seek_once(&self, partition: &TopicPartition, offset: u64) -> Result<(), KafkaError> {
        let list = list_of(std::slice::from_ref(partition), |_| at(offset))?;
        let sought = self.member.seek_partitions(list, REQUEST_TIMEOUT)?;
        sought.find_partition(&partition.topic, partition.partition).map_or(Ok(()), |element| element.error())
    }
}

/// Whether a retry may succeed: the client has not started the partition yet, or has not finished an earlier seek.
fn may_seek_later(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::State
                | RDKafkaErrorCode::PreviousInProgress
                | RDKafkaErrorCode::InProgress
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}
