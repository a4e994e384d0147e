//! Tells the client where partitions begin. It takes a few questions to the broker, which may be away or, right after a
//! topic was made, not know yet who leads it: so it is work of its own, which is tried again, and which nobody has to
//! wait for.

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
    asking::{ANSWER_LIMIT, Asking, at, list_of},
    membership::{Member, Membership},
};
use crate::{EventLogError, Result, StartAt, TopicPartition};

/// A broker that is away is tried for so long before the owner hears of it, so that a passing trouble is none.
const QUIET_LIMIT: Duration = Duration::from_secs(3);
/// How long a new assignment may take until the client can be told where to begin.
const SEEK_LIMIT: Duration = Duration::from_secs(10);
/// Between two tries of either.
const RETRY: Duration = Duration::from_millis(50);

/// Where a partition shall begin.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) partition: TopicPartition,
    /// The assignment it is meant for.
    pub(crate) generation: u64,
    pub(crate) start: StartAt,
    /// The number of the seek.
    pub(crate) seek: u64,
}

/// Partitions being told where to begin.
pub(crate) struct Placing {
    pub(crate) places: Vec<Place>,
    pub(crate) work: JoinHandle<Result<()>>,
}

impl Placing {
    pub(crate) fn begin(
        asking: &Arc<Asking>,
        membership: &Arc<Membership>,
        member: Arc<Member>,
        places: Vec<Place>,
    ) -> Self {
        let work = Work {
            asking: Arc::clone(asking),
            membership: Arc::clone(membership),
            member,
            places: places.clone(),
        };
        Self { places, work: tokio::task::spawn_blocking(move || work.run()) }
    }
}

struct Work {
    asking: Arc<Asking>,
    membership: Arc<Membership>,
    member: Arc<Member>,
    places: Vec<Place>,
}

impl Work {
    fn run(mut self) -> Result<()> {
        let deadline = Instant::now() + QUIET_LIMIT;
        loop {
            // A partition given up meanwhile needs no place to begin; the news of it is on its way.
            self.places
                .retain(|place| self.membership.generation(&place.partition) == Some(place.generation));
            match self.place() {
                Err(error)
                    if error.is_transient() && Instant::now() < deadline && !self.membership.is_closing() =>
                {
                    std::thread::sleep(RETRY);
                }
                result => return result,
            }
        }
    }

    fn place(&self) -> Result<()> {
        for (place, offset) in self.places.iter().zip(self.offsets()?) {
            self.seek(place, offset)?;
        }
        Ok(())
    }

    /// The offsets that the places mean at the moment.
    fn offsets(&self) -> Result<Vec<u64>> {
        let partitions: Vec<TopicPartition> =
            self.places.iter().map(|place| place.partition.clone()).collect();
        let bounds = self.asking.bounds(&partitions)?;
        let by_commit =
            |place: &&Place| matches!(place.start, StartAt::CommittedOrBeginning | StartAt::CommittedOrEnd);
        let asked: Vec<TopicPartition> =
            self.places.iter().filter(by_commit).map(|place| place.partition.clone()).collect();
        let committed = match asked.as_slice() {
            [] => std::collections::HashMap::new(),
            asked => self.asking.committed_by(&self.member, asked)?,
        };
        let offset = |place: &Place| {
            let (first, end) = bounds.get(&place.partition).copied().unwrap_or_default();
            place.start.offset_in(&place.partition, first, end, committed.get(&place.partition).copied())
        };
        Ok(self.places.iter().map(offset).collect())
    }

    fn seek(&self, place: &Place, offset: u64) -> Result<()> {
        let settings = &self.asking.settings;
        let deadline = Instant::now() + SEEK_LIMIT;
        while self.membership.generation(&place.partition) == Some(place.generation) {
            match self.seek_once(&place.partition, offset) {
                Ok(()) => break,
                // This one comes without its code.
                Err(KafkaError::Seek(reason)) => {
                    return Err(EventLogError::Unavailable { brokers: settings.brokers.clone(), reason });
                }
                Err(error) if !may_seek_later(&error) => return Err(settings.failure(&error)),
                Err(_) if self.membership.is_closing() || Instant::now() >= deadline => {
                    return Err(settings.no_answer("waiting for an assigned partition"));
                }
                Err(_) => std::thread::sleep(RETRY),
            }
        }
        Ok(())
    }

    fn seek_once(&self, partition: &TopicPartition, offset: u64) -> Result<(), KafkaError> {
        let list = list_of(std::slice::from_ref(partition), |_| at(offset))?;
        let sought = self.member.seek_partitions(list, ANSWER_LIMIT)?;
        sought.find_partition(&partition.topic, partition.partition).map_or(Ok(()), |element| element.error())
    }
}

/// The client has not begun with the partition yet, or is still busy with the seek before.
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
