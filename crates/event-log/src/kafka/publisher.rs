//! Publishes through the client's buffer.

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
    context::ConnectionError,
    deliveries::{Batch, BufferShare, Client, DeliveryReports, InFlight, InFlightRecord},
    stall,
};
use crate::{
    EventLogError, NewRecord, Publisher, Receipt, Result,
    check::{check_records, record_bytes},
};

/// Limit of keys, values and headers in flight, in bytes.
const BUFFER_BYTES: usize = 32 << 20;
/// Limit of records in flight; each has a fixed cost in the client's memory.
const BUFFER_RECORDS: usize = 250_000;
/// Longest wait before a retry when the client's buffer is full, as the URL's settings can make it smaller than these limits.
const FULL_RETRY: Duration = Duration::from_millis(20);
/// How long the records of a dropped publisher may take to be delivered.
const LAST_DELIVERY_LIMIT: Duration = Duration::from_mins(1);

/// Publishes to Kafka.
pub(crate) struct KafkaPublisher {
    queries: Arc<BrokerQueries>,
    client: Option<Arc<Client>>,
    bytes: Arc<Semaphore>,
    records: Arc<Semaphore>,
    in_flight: Arc<InFlight>,
}

/// Resolves the records that were not handed to the client, also if `send` is cancelled.
struct Enqueuing {
    batch: Arc<Batch>,
    not_enqueued: usize,
}

impl Drop for Enqueuing {
    fn drop(&mut self) {
        if self.not_enqueued > 0 {
            self.batch.fail(&KafkaError::Canceled);
            self.batch.resolve(self.not_enqueued);
        }
    }
}

impl KafkaPublisher {
    /// A publisher with its own client.
    pub(crate) fn new(queries: Arc<BrokerQueries>) -> Result<Self> {
        // Not shared: an earlier connection of the query clients may still be accepted.
        let connection_error = ConnectionError::default();
        let context = DeliveryReports::new(connection_error.clone());
        let made = queries.settings.producer().create_with_context(context);
        let client: Client = made.map_err(|error| queries.settings.failure(&error))?;
        let (client, in_flight) = (Arc::new(client), Arc::<InFlight>::default());
        stall::start(
            Arc::clone(&queries),
            Arc::downgrade(&client),
            Arc::clone(&in_flight),
            connection_error,
        )?;
        Ok(Self {
            queries,
            client: Some(client),
            bytes: Arc::new(Semaphore::new(BUFFER_BYTES)),
            records: Arc::new(Semaphore::new(BUFFER_RECORDS)),
            in_flight,
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

    async fn share(&self, records: &[NewRecord]) -> Result<BufferShare> {
        let bytes: usize = records.iter().map(record_bytes).sum();
        // A batch larger than the limits takes the whole buffer.
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
        let share = self.share(&records).await?;
        let batch = Batch::accept(topic, &self.queries, &self.in_flight, records.len(), share, reply);
        let mut enqueuing = Enqueuing { batch: Arc::clone(&batch), not_enqueued: records.len() };
        for (index, record) in (0..).zip(&records) {
            if let Err(error) = enqueue(client, &batch, index, record, &self.in_flight).await {
                // The records before this one are in flight; the receipt returns the error.
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
    in_flight: &InFlight,
) -> Result<(), KafkaError> {
    loop {
        let delivery = Box::new(InFlightRecord { batch: Arc::clone(batch), index });
        let Err(error) = hand_over(client, &batch.topic, record, delivery) else {
            return Ok(());
        };
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error);
        }
        let _ = tokio::time::timeout(FULL_RETRY, in_flight.batch_resolved()).await;
    }
}

fn hand_over(
    client: &Client,
    topic: &str,
    record: &NewRecord,
    delivery: Box<InFlightRecord>,
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
        let in_flight = Arc::clone(&self.in_flight);
        // Dropping the client discards its records and waits for its thread; neither may happen here.
        let last = move || {
            if !in_flight.is_empty()
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
