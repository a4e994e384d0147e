//! What became of the records under way: the client's delivery reports resolve the receipts.

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
    context::{self, Trouble},
};
use crate::{EventLogError, Position, Result, TopicPartition, locked::locked};

pub(super) type Client = ThreadedProducer<Deliveries>;

/// Batches accepted and not yet resolved.
#[derive(Default)]
pub(super) struct Open {
    batches: AtomicUsize,
    one_less: Notify,
    /// In the order in which they were accepted, with those that are resolved by now.
    in_order: Mutex<VecDeque<Weak<Batch>>>,
    is_given_up: AtomicBool,
}

/// The batch that has waited for longest.
#[derive(PartialEq, Eq)]
pub(super) struct Oldest {
    pub(super) topic: Arc<str>,
    pub(super) accepted: Instant,
    /// Its records that are not resolved.
    left: usize,
}

impl Open {
    fn add(&self, batch: &Arc<Batch>) {
        self.batches.fetch_add(1, Ordering::AcqRel);
        let mut in_order = locked(&self.in_order);
        // The first ones are mostly done when others come.
        while in_order.front().is_some_and(|first| first.strong_count() == 0) {
            in_order.pop_front();
        }
        in_order.push_back(Arc::downgrade(batch));
    }

    /// Whether nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.load(Ordering::Acquire) == 0
    }

    /// When the next batch is resolved.
    pub(super) fn one_less(&self) -> Notified<'_> {
        self.one_less.notified()
    }

    /// The oldest batch that is not resolved.
    pub(super) fn oldest(&self) -> Option<Oldest> {
        let mut in_order = locked(&self.in_order);
        in_order.retain(|batch| batch.strong_count() > 0);
        let oldest = in_order.front()?.upgrade()?;
        let left = oldest.left.load(Ordering::Acquire);
        Some(Oldest { topic: Arc::clone(&oldest.topic), accepted: oldest.accepted, left })
    }

    /// From here on, records that the client is told to forget are those of a client that was given up; how many wait.
    pub(super) fn give_up(&self) -> usize {
        self.is_given_up.store(true, Ordering::Release);
        let in_order = locked(&self.in_order);
        in_order.iter().filter_map(Weak::upgrade).map(|batch| batch.left.load(Ordering::Acquire)).sum()
    }
}

/// Hears of each record what became of it.
pub(super) struct Deliveries {
    trouble: Trouble,
    /// The furthest offset of each partition so far.
    furthest: Mutex<HashMap<(Arc<str>, i32), i64>>,
}

impl Deliveries {
    pub(super) fn new(trouble: Trouble) -> Self {
        Self { trouble, furthest: Mutex::default() }
    }

    /// Offsets of a partition only grow. Where one does not, the broker has lost what it had. Then it also gives away the
    /// numbers anew by which it tells producers apart, ours among them: what it takes for a repetition of somebody else's
    /// record it acknowledges without storing it. So nothing that comes now can be trusted.
    fn is_another_log(&self, topic: &Arc<str>, partition: i32, offset: i64) -> Option<i64> {
        let mut furthest = locked(&self.furthest);
        match furthest.get_mut(&(Arc::clone(topic), partition)) {
            // A repetition that was recognised comes without an offset.
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

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        context::log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble.hear(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        match result {
            Ok(message) => {
                // Once a batch is enough.
                if delivery.index == 0 {
                    self.trouble.clear();
                }
                let place = (message.partition(), message.offset());
                if let Some(before) = self.is_another_log(&delivery.batch.topic, place.0, place.1) {
                    delivery.batch.began_anew(place, before);
                }
                if let Some(slot) = locked(&delivery.batch.outcome).places.get_mut(delivery.index as usize) {
                    *slot = place;
                }
            }
            Err((error, _)) => delivery.batch.fail(error),
        }
        delivery.batch.settle(1);
    }
}

/// A record under way: the `index`-th of its batch.
pub(super) struct Delivery {
    pub(super) batch: Arc<Batch>,
    pub(super) index: u32,
}

/// The records of one `send`.
pub(super) struct Batch {
    pub(super) topic: Arc<str>,
    accepted: Instant,
    queries: Arc<BrokerQueries>,
    open: Arc<Open>,
    left: AtomicUsize,
    outcome: Mutex<Outcome>,
}

/// What a batch takes of the buffer, in bytes and records, until it is resolved.
pub(super) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

struct Outcome {
    /// Partition and offset, by index.
    places: Vec<(i32, i64)>,
    failure: Option<EventLogError>,
    reply: Option<oneshot::Sender<Result<Vec<Position>>>>,
    _room: Room,
}

impl Batch {
    /// A batch of `records` records that are under way from now on.
    pub(super) fn accept(
        topic: Arc<str>,
        queries: &Arc<BrokerQueries>,
        open: &Arc<Open>,
        records: usize,
        room: Room,
        reply: oneshot::Sender<Result<Vec<Position>>>,
    ) -> Arc<Self> {
        let outcome =
            Outcome { places: vec![(0, 0); records], failure: None, reply: Some(reply), _room: room };
        let batch = Arc::new(Self {
            topic,
            accepted: Instant::now(),
            queries: Arc::clone(queries),
            open: Arc::clone(open),
            left: AtomicUsize::new(records),
            outcome: Mutex::new(outcome),
        });
        open.add(&batch);
        batch
    }

    pub(super) fn fail(&self, error: &KafkaError) {
        let failure = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                self.queries.forget(&self.topic);
                EventLogError::UnknownTopic(self.topic.to_string())
            }
            Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => self.forgotten(),
            _ => self.queries.settings.failure(error),
        };
        locked(&self.outcome).failure.get_or_insert(failure);
    }

    /// What was under way when its client was dropped, or given up.
    fn forgotten(&self) -> EventLogError {
        if self.open.is_given_up.load(Ordering::Acquire) {
            return EventLogError::Refused(
                "the client stood still although the broker answered, and was given up; start again"
                    .to_owned(),
            );
        }
        EventLogError::Unavailable {
            brokers: self.queries.settings.brokers.clone(),
            reason: "not delivered before the publisher was closed".to_owned(),
        }
    }

    fn began_anew(&self, (partition, offset): (i32, i64), before: i64) {
        let partition = TopicPartition { topic: Arc::clone(&self.topic), partition };
        let brokers = self.queries.settings.brokers.clone();
        let failure = EventLogError::BeganAnew { brokers, partition: partition.to_string(), offset, before };
        locked(&self.outcome).failure.get_or_insert(failure);
    }

    /// So many records more have found their end; with the last one the receipt resolves.
    pub(super) fn settle(&self, records: usize) {
        if self.left.fetch_sub(records, Ordering::AcqRel) != records {
            return;
        }
        let mut outcome = locked(&self.outcome);
        let (places, failure) = (std::mem::take(&mut outcome.places), outcome.failure.take());
        let reply = outcome.reply.take();
        drop(outcome);
        let position = |(partition, offset): (i32, i64)| Position {
            topic_partition: TopicPartition { topic: Arc::clone(&self.topic), partition },
            offset: offset.unsigned_abs(),
        };
        // Nobody waits for a receipt that was dropped.
        if let Some(reply) = reply.filter(|reply| !reply.is_closed()) {
            let _ = reply.send(match failure {
                None => Ok(places.into_iter().map(position).collect()),
                Some(failure) => Err(failure),
            });
        }
        self.open.batches.fetch_sub(1, Ordering::AcqRel);
        self.open.one_less.notify_waiters();
    }
}
