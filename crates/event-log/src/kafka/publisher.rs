//! The way in. Records go into the client's buffer.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer},
};
use tokio::sync::{Semaphore, oneshot};

use super::{
    blocking,
    broker_queries::BrokerQueries,
    context::Trouble,
    deliveries::{Batch, Client, Deliveries, Delivery, Open, Room},
    standstill,
};
use crate::{
    EventLogError, NewRecord, Publisher, Receipt, Result,
    check::{check_records, record_bytes},
};

/// Bytes of keys, values and headers that a publisher may have accepted and not yet delivered.
const BUFFER_BYTES: usize = 32 << 20;
/// Records likewise; each costs the client memory of its own.
const BUFFER_RECORDS: usize = 250_000;
/// Longest wait before a full buffer of the client is tried again, in case its settings make it smaller than ours.
const FULL_RETRY: Duration = Duration::from_millis(20);
/// How long a publisher that is gone goes on delivering what it accepted.
const LAST_DELIVERY_LIMIT: Duration = Duration::from_mins(1);

/// Publishes to Kafka.
pub(crate) struct KafkaPublisher {
    queries: Arc<BrokerQueries>,
    client: Option<Arc<Client>>,
    bytes: Arc<Semaphore>,
    records: Arc<Semaphore>,
    open: Arc<Open>,
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
    pub(crate) fn new(queries: Arc<BrokerQueries>) -> Result<Self> {
        // Of its own: who only asks may be let in still, on a connection from before.
        let trouble = Trouble::default();
        let context = Deliveries::new(trouble.clone());
        let made = queries.settings.producer().create_with_context(context);
        let client: Client = made.map_err(|error| queries.settings.failure(&error))?;
        let (client, open) = (Arc::new(client), Arc::<Open>::default());
        standstill::watch(Arc::clone(&queries), Arc::downgrade(&client), Arc::clone(&open), trouble)?;
        Ok(Self {
            queries,
            client: Some(client),
            bytes: Arc::new(Semaphore::new(BUFFER_BYTES)),
            records: Arc::new(Semaphore::new(BUFFER_RECORDS)),
            open,
        })
    }

    async fn topic(&self, name: &str) -> Result<Arc<str>> {
        if let Some(known) = self.queries.known(name) {
            return Ok(known);
        }
        let queries = Arc::clone(&self.queries);
        blocking(move || queries.topics()).await?;
        self.queries.known(name).ok_or_else(|| EventLogError::UnknownTopic(name.to_owned()))
    }

    async fn room(&self, records: &[NewRecord]) -> Result<Room> {
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
        let room = self.room(&records).await?;
        let batch = Batch::accept(topic, &self.queries, &self.open, records.len(), room, reply);
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
        let _ = tokio::time::timeout(FULL_RETRY, open.one_less()).await;
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
            if !open.is_empty()
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
