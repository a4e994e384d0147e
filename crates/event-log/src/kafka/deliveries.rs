//! Records in flight: the client's delivery reports resolve the receipts.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use rdkafka::{
    ClientContext, Message as _,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{ProducerContext, ThreadedProducer},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, futures::Notified, oneshot};

use super::{
    broker_queries::BrokerQueries,
    context::{self, ConnectionError},
};
use crate::{EventLogError, Position, Result, TopicPartition, locked::locked};

pub(super) type Client = ThreadedProducer<DeliveryReports>;

/// Batches that were accepted and are not resolved yet.
#[derive(Default)]
pub(super) struct InFlight {
    batches: AtomicUsize,
    batch_resolved: Notify,
    /// In the order of acceptance; may contain resolved ones.
    in_order: Mutex<VecDeque<Weak<Batch>>>,
    is_given_up: AtomicBool,
}

/// The oldest unresolved batch.
#[derive(PartialEq, Eq)]
pub(super) struct Oldest {
    pub(super) topic: Arc<str>,
    pub(super) accepted: Instant,
    /// Number of its unresolved records.
    unresolved: usize,
}

impl InFlight {
    fn add(&self, batch: &Arc<Batch>) {
        self.batches.fetch_add(1, Ordering::AcqRel);
        let mut in_order = locked(&self.in_order);
        // The oldest ones are usually resolved when new ones are added.
        while in_order.front().is_some_and(|first| first.strong_count() == 0) {
            in_order.pop_front();
        }
        in_order.push_back(Arc::downgrade(batch));
    }

    /// Whether no batch is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.load(Ordering::Acquire) == 0
    }

    /// Completes when the next batch is resolved.
    pub(super) fn batch_resolved(&self) -> Notified<'_> {
        self.batch_resolved.notified()
    }

    /// The oldest unresolved batch.
    pub(super) fn oldest(&self) -> Option<Oldest> {
        let mut in_order = locked(&self.in_order);
        in_order.retain(|batch| batch.strong_count() > 0);
        let oldest = in_order.front()?.upgrade()?;
        let unresolved = oldest.unresolved.load(Ordering::Acquire);
        Some(Oldest { topic: Arc::clone(&oldest.topic), accepted: oldest.accepted, unresolved })
    }

    /// Marks the client as given up, so that purged records fail with this reason. Returns the number of unresolved records.
    pub(super) fn give_up(&self) -> usize {
        self.is_given_up.store(true, Ordering::Release);
        let in_order = locked(&self.in_order);
        in_order.iter().filter_map(Weak::upgrade).map(|batch| batch.unresolved.load(Ordering::Acquire)).sum()
    }
}

/// Receives the delivery report of each record.
pub(super) struct DeliveryReports {
    connection_error: ConnectionError,
    /// The highest offset of each partition so far.
    furthest: Mutex<HashMap<(Arc<str>, i32), i64>>,
}

impl DeliveryReports {
    pub(super) fn new(connection_error: ConnectionError) -> Self {
        Self { connection_error, furthest: Mutex::default() }
    }

    /// The earlier offset, if the offsets of a partition do not increase. Then the broker has lost its records, and its
    /// producer ids as well: it may assign the id of this producer to another one, and acknowledge records of either as
    /// duplicates without storing them. So no later acknowledgement is reliable.
    fn offset_before(&self, topic: &Arc<str>, partition: i32, offset: i64) -> Option<i64> {
        let mut furthest = locked(&self.furthest);
        match furthest.get_mut(&(Arc::clone(topic), partition)) {
            // The report of a recognised duplicate has no offset.
            Some(known) if offset <= *known && offset >= 0 => Some(*known),
            Some(known) => {
                *known = offset.max(*known);
                None
            }
            None => {
                furthest.insert((Arc::clone(topic), partition), offset);
                None
            }
        }
    }
}

impl ClientContext for DeliveryReports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection_error.record(&error, reason);
    }
}

impl ProducerContext for DeliveryReports {
    type DeliveryOpaque = Box<InFlightRecord>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<InFlightRecord>) {
        match result {
            Ok(message) => {
                // Once for each batch is enough.
                if delivery.index == 0 {
                    self.connection_error.clear();
                }
                let (partition, offset) = (message.partition(), message.offset());
                if let Some(before) = self.offset_before(&delivery.batch.topic, partition, offset) {
                    delivery.batch.log_replaced(partition, offset, before);
                }
                if let Some(slot) = locked(&delivery.batch.outcome).offsets.get_mut(delivery.index as usize) {
                    *slot = (partition, offset);
                }
            }
            Err((error, _)) => delivery.batch.fail(error),
        }
        delivery.batch.resolve(1);
    }
}

/// A record in flight: the one at `index` of its batch.
pub(super) struct InFlightRecord {
    pub(super) batch: Arc<Batch>,
    pub(super) index: u32,
}

/// The records of one `send`.
pub(super) struct Batch {
    pub(super) topic: Arc<str>,
    accepted: Instant,
    queries: Arc<BrokerQueries>,
    in_flight: Arc<InFlight>,
    unresolved: AtomicUsize,
    outcome: Mutex<Outcome>,
}

/// Share of a batch in the buffer, in records and bytes, until it is resolved.
pub(super) type BufferShare = (OwnedSemaphorePermit, OwnedSemaphorePermit);

struct Outcome {
    /// Partition and offset, by index.
    offsets: Vec<(i32, i64)>,
    failure: Option<EventLogError>,
    reply: Option<oneshot::Sender<Result<Vec<Position>>>>,
    _share: BufferShare,
}

impl Batch {
    /// Registers a batch with this number of records as in flight.
    pub(super) fn accept(
        topic: Arc<str>,
        queries: &Arc<BrokerQueries>,
        in_flight: &Arc<InFlight>,
        records: usize,
        share: BufferShare,
        reply: oneshot::Sender<Result<Vec<Position>>>,
    ) -> Arc<Self> {
        let outcome =
            Outcome { offsets: vec![(0, 0); records], failure: None, reply: Some(reply), _share: share };
        let batch = Arc::new(Self {
            topic,
            accepted: Instant::now(),
            queries: Arc::clone(queries),
            in_flight: Arc::clone(in_flight),
            unresolved: AtomicUsize::new(records),
            outcome: Mutex::new(outcome),
        });
        in_flight.add(&batch);
        batch
    }

    pub(super) fn fail(&self, error: &KafkaError) {
        let failure = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                self.queries.forget(&self.topic);
                EventLogError::UnknownTopic(self.topic.to_string())
            }
            Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => self.purged(),
            _ => self.queries.settings.failure(error),
        };
        locked(&self.outcome).failure.get_or_insert(failure);
    }

    /// The error of records that the client purged, because it was dropped or given up.
    fn purged(&self) -> EventLogError {
        if self.in_flight.is_given_up.load(Ordering::Acquire) {
            return EventLogError::Refused(
                "the client stalled although the broker responded, and was given up; restart the service"
                    .to_owned(),
            );
        }
        EventLogError::Unavailable {
            brokers: self.queries.settings.brokers.clone(),
            reason: "not delivered before the publisher was closed".to_owned(),
        }
    }

    fn log_replaced(&self, partition: i32, offset: i64, before: i64) {
        let partition = TopicPartition { topic: Arc::clone(&self.topic), partition };
        let brokers = self.queries.settings.brokers.clone();
        let failure =
            EventLogError::LogReplaced { brokers, partition: partition.to_string(), offset, before };
        locked(&self.outcome).failure.get_or_insert(failure);
    }

    /// Marks this number of further records as resolved; the last one resolves the receipt.
    pub(super) fn resolve(&self, records: usize) {
        if self.unresolved.fetch_sub(records, Ordering::AcqRel) != records {
            return;
        }
        let mut outcome = locked(&self.outcome);
        let (offsets, failure) = (std::mem::take(&mut outcome.offsets), outcome.failure.take());
        let reply = outcome.reply.take();
        drop(outcome);
        let position = |(partition, offset): (i32, i64)| Position {
            topic_partition: TopicPartition { topic: Arc::clone(&self.topic), partition },
            offset: offset.unsigned_abs(),
        };
        // A dropped receipt needs no result.
        if let Some(reply) = reply.filter(|reply| !reply.is_closed()) {
            let _ = reply.send(match failure {
                None => Ok(offsets.into_iter().map(position).collect()),
                Some(failure) => Err(failure),
            });
        }
        self.in_flight.batches.fetch_sub(1, Ordering::AcqRel);
        self.in_flight.batch_resolved.notify_waiters();
    }
}
