//! The way in. Records go into the client's buffer; its delivery reports resolve the receipts.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rdkafka::{
    ClientContext, Message as _,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer},
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    asking::Asking,
    blocking,
    context::{self, Trouble},
    standstill,
};
use crate::{
    EventLogError, NewRecord, Position, Publisher, Receipt, Result, TopicPartition,
    check::{check_records, record_bytes},
    locked::locked,
};

/// Bytes of keys, values and headers that a publisher may have accepted and not yet delivered.
const BUFFER_BYTES: usize = 32 << 20;
/// Records likewise; each costs the client memory of its own.
const BUFFER_RECORDS: usize = 250_000;
/// Longest wait before a full buffer of the client is tried again, in case its settings make it smaller than ours.
const FULL_RETRY: Duration = Duration::from_millis(20);
/// How long a publisher that is gone goes on delivering what it accepted.
const LAST_DELIVERY_LIMIT: Duration = Duration::from_mins(1);

pub(super) type Client = ThreadedProducer<Deliveries>;

/// Publishes to Kafka.
pub(crate) struct KafkaPublisher {
    asking: Arc<Asking>,
    client: Option<Arc<Client>>,
    bytes: Arc<Semaphore>,
    records: Arc<Semaphore>,
    open: Arc<Open>,
}

/// Batches accepted and not yet resolved.
#[derive(Default)]
pub(super) struct Open {
    batches: AtomicUsize,
    one_less: Notify,
    /// In the order in which they were accepted, with those that are resolved by now.
    in_order: Mutex<VecDeque<Weak<Batch>>>,
}

impl Open {
    fn add(&self, batch: &Arc<Batch>) {
        let mut in_order = locked(&self.in_order);
        // The first ones are mostly done when others come.
        while in_order.front().is_some_and(|first| first.strong_count() == 0) {
            in_order.pop_front();
        }
        in_order.push_back(Arc::downgrade(batch));
    }

    /// The topic of the oldest batch that is not resolved, and when it was accepted.
    pub(super) fn oldest(&self) -> Option<(Arc<str>, Instant)> {
        let mut in_order = locked(&self.in_order);
        in_order.retain(|batch| batch.strong_count() > 0);
        let oldest = in_order.front()?.upgrade()?;
        Some((Arc::clone(&oldest.topic), oldest.accepted))
    }
}

/// Hears of each record what became of it.
pub(super) struct Deliveries {
    trouble: Trouble,
    /// The furthest offset of each partition so far.
    furthest: Mutex<HashMap<(Arc<str>, i32), i64>>,
}

impl Deliveries {
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
    batch: Arc<Batch>,
    index: u32,
}

/// The records of one `send`.
pub(super) struct Batch {
    topic: Arc<str>,
    accepted: Instant,
    asking: Arc<Asking>,
    open: Arc<Open>,
    left: AtomicUsize,
    outcome: Mutex<Outcome>,
}

struct Outcome {
    /// Partition and offset, by index.
    places: Vec<(i32, i64)>,
    failure: Option<EventLogError>,
    reply: Option<oneshot::Sender<Result<Vec<Position>>>>,
    _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Batch {
    fn fail(&self, error: &KafkaError) {
        let unknown = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition)
        );
        let failure = if unknown {
            self.asking.forget(&self.topic);
            EventLogError::UnknownTopic(self.topic.to_string())
        } else {
            self.asking.settings.failure(error)
        };
        locked(&self.outcome).failure.get_or_insert(failure);
    }

    fn began_anew(&self, (partition, offset): (i32, i64), before: i64) {
        let partition = TopicPartition { topic: Arc::clone(&self.topic), partition };
        let brokers = self.asking.settings.brokers.clone();
        let failure = EventLogError::BeganAnew { brokers, partition: partition.to_string(), offset, before };
        locked(&self.outcome).failure.get_or_insert(failure);
    }

    /// So many records more have found their end; with the last one the receipt resolves.
    fn settle(&self, records: usize) {
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

/// Settles the records that never reached the client, also where `send` is cancelled.
struct Enqueuing {
    batch: Arc<Batch>,
    not_enqueued: usize,
}

impl Drop for Enqueuing {
    fn drop(&mut self) {
        if self.not_enqueued > 0 {
            self.batch.fail(&KafkaError::Canceled);
            self.batch.settle(self.not_enqueued);
        }
    }
}

impl KafkaPublisher {
    /// A publisher with a client of its own.
    pub(crate) fn new(asking: Arc<Asking>) -> Result<Self> {
        let context = Deliveries { trouble: asking.trouble.clone(), furthest: Mutex::default() };
        let made = asking.settings.producer().create_with_context(context);
        let client: Client = made.map_err(|error| asking.settings.failure(&error))?;
        let (client, open) = (Arc::new(client), Arc::<Open>::default());
        standstill::watch(Arc::clone(&asking), Arc::downgrade(&client), Arc::clone(&open))?;
        Ok(Self {
            asking,
            client: Some(client),
            bytes: Arc::new(Semaphore::new(BUFFER_BYTES)),
            records: Arc::new(Semaphore::new(BUFFER_RECORDS)),
            open,
        })
    }

    async fn topic(&self, name: &str) -> Result<Arc<str>> {
        if let Some(known) = self.asking.known(name) {
            return Ok(known);
        }
        let asking = Arc::clone(&self.asking);
        blocking(move || asking.topics()).await?;
        self.asking.known(name).ok_or_else(|| EventLogError::UnknownTopic(name.to_owned()))
    }

    async fn room(&self, records: &[NewRecord]) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let bytes: usize = records.iter().map(record_bytes).sum();
        // A batch larger than the buffer takes all of it.
        let take = |wanted: usize, limit: usize| u32::try_from(wanted.min(limit)).unwrap_or(u32::MAX);
        let closed = |_| EventLogError::Closed;
        let records = take(records.len(), BUFFER_RECORDS);
        let records = Arc::clone(&self.records).acquire_many_owned(records).await.map_err(closed)?;
        let bytes =
            Arc::clone(&self.bytes).acquire_many_owned(take(bytes, BUFFER_BYTES)).await.map_err(closed)?;
        Ok((records, bytes))
    }
}

#[async_trait]
impl Publisher for KafkaPublisher {
    async fn send(&self, topic: &str, records: Vec<NewRecord>) -> Result<Receipt> {
        check_records(topic, &records)?;
        let client = self.client.as_ref().ok_or(EventLogError::Closed)?;
        let topic = self.topic(topic).await?;
        let (reply, receipt) = oneshot::channel();
        if records.is_empty() {
            let _ = reply.send(Ok(Vec::new()));
            return Ok(Receipt(receipt));
        }
        let outcome = Outcome {
            _room: self.room(&records).await?,
            places: vec![(0, 0); records.len()],
            failure: None,
            reply: Some(reply),
        };
        self.open.batches.fetch_add(1, Ordering::AcqRel);
        let batch = Arc::new(Batch {
            topic,
            accepted: Instant::now(),
            asking: Arc::clone(&self.asking),
            open: Arc::clone(&self.open),
            left: AtomicUsize::new(records.len()),
            outcome: Mutex::new(outcome),
        });
        self.open.add(&batch);
        let mut enqueuing = Enqueuing { batch: Arc::clone(&batch), not_enqueued: records.len() };
        for (index, record) in (0..).zip(&records) {
            if let Err(error) = enqueue(client, &batch, index, record, &self.open).await {
                // What went before is under way; the receipt tells.
                batch.fail(&error);
                break;
            }
            enqueuing.not_enqueued -= 1;
        }
        Ok(Receipt(receipt))
    }

    async fn flush(&self) -> Result<()> {
        loop {
            let one_less = self.open.one_less.notified();
            tokio::pin!(one_less);
            // Counted from here on, so that a batch that ends between the look and the wait is not missed.
            one_less.as_mut().enable();
            if self.open.batches.load(Ordering::Acquire) == 0 {
                return Ok(());
            }
            one_less.await;
        }
    }
}

/// Hands one record to the client; waits while its buffer is full.
async fn enqueue(
    client: &Client,
    batch: &Arc<Batch>,
    index: u32,
    record: &NewRecord,
    open: &Open,
) -> Result<(), KafkaError> {
    loop {
        let delivery = Box::new(Delivery { batch: Arc::clone(batch), index });
        let Err(error) = hand_over(client, &batch.topic, record, delivery) else {
            return Ok(());
        };
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error);
        }
        let _ = tokio::time::timeout(FULL_RETRY, open.one_less.notified()).await;
    }
}

fn hand_over(
    client: &Client,
    topic: &str,
    record: &NewRecord,
    delivery: Box<Delivery>,
) -> Result<(), KafkaError> {
    let mut outgoing = BaseRecord::with_opaque_to(topic, delivery)
        .payload(&record.payload[..])
        .timestamp(record.timestamp.timestamp_millis());
    if let Some(key) = &record.key {
        outgoing = outgoing.key(&key[..]);
    }
    if !record.headers.is_empty() {
        let none = OwnedHeaders::new_with_capacity(record.headers.len());
        let headers = record
            .headers
            .iter()
            .fold(none, |headers, (key, value)| headers.insert(Header { key, value: Some(&value[..]) }));
        outgoing = outgoing.headers(headers);
    }
    client.send(outgoing).map_err(|(error, _)| error)
}

impl Drop for KafkaPublisher {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let open = Arc::clone(&self.open);
        // Dropping the client throws away what it still holds, and waits for its thread; neither may happen here.
        let last = move || {
            if open.batches.load(Ordering::Acquire) > 0
                && let Err(error) = client.flush(LAST_DELIVERY_LIMIT)
            {
                tracing::warn!("records of a closed publisher were not delivered: {error}");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("kafka-last-delivery".to_owned()).spawn(last) {
            tracing::warn!("records of a closed publisher may be lost: {error}");
        }
    }
}
