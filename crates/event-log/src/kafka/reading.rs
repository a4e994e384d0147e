//! Reads a partition from an offset, without a group.

use std::time::{Duration, Instant};

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

use super::{
    arena::Arena,
    broker_queries::{BrokerQueries, REQUEST_TIMEOUT, at, list_of},
    context::QueryContext,
};
use crate::{EventLogError, Message, Result, TopicPartition};

/// Required by the client, although it joins no group and commits nothing.
const READERS_GROUP: &str = "tapedeck-read";
/// Longest wait of one poll, so that the time limit is checked.
const POLL: Duration = Duration::from_millis(100);

/// Up to `max` records from `offset`. Blocks.
pub(crate) fn read(
    queries: &BrokerQueries,
    wanted: &TopicPartition,
    offset: u64,
    max: usize,
) -> Result<Vec<Message>> {
    let settings = &queries.settings;
    let partitions = queries.partitions_of(&[wanted.topic.to_string()])?;
    let Some(partition) = partitions.into_iter().find(|partition| partition == wanted) else {
        return Err(EventLogError::UnknownPartition {
            topic: wanted.topic.to_string(),
            partition: wanted.partition,
        });
    };
    let bounds = queries.bounds(std::slice::from_ref(&partition))?;
    let (start, end) = bounds.get(&partition).copied().unwrap_or_default();
    let offset = offset.max(start);
    if offset >= end || max == 0 {
        return Ok(Vec::new());
    }
    let failed = |error: KafkaError| settings.failure(&error);
    let consumer: BaseConsumer<QueryContext> = settings
        .reader(READERS_GROUP)
        .create_with_context(QueryContext(queries.connection_error.clone()))
        .map_err(failed)?;
    let list = list_of(std::slice::from_ref(&partition), |_| at(offset)).map_err(failed)?;
    consumer.assign(&list).map_err(failed)?;
    let mut arena = Arena::default();
    let mut deadline = Instant::now() + REQUEST_TIMEOUT;
    while !arena.is_full(max) {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                arena.push(&partition, None, &message);
                deadline = Instant::now() + REQUEST_TIMEOUT;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) if settings.failure(&error).is_transient() => {}
            Some(Err(error)) => return Err(failed(error)),
            None if Instant::now() >= deadline => return Err(settings.timed_out("reading a partition")),
            None => {}
        }
    }
    Ok(arena.finish())
}
