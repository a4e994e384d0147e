//! A partition from an offset on, without a group.

use std::time::{Duration, Instant};

use rdkafka::{
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};

use super::{
    arena::Arena,
    broker_queries::{ANSWER_LIMIT, BrokerQueries, at, list_of},
    context::Quiet,
};
use crate::{EventLogError, Message, Result, TopicPartition};

/// Needed by the client although nothing is joined or committed.
const READERS_GROUP: &str = "tapedeck-read";
/// Longest wait of one poll, so that the time limit is seen.
const POLL: Duration = Duration::from_millis(100);

/// Up to `max` records from `offset` on; blocks.
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
    let consumer: BaseConsumer<Quiet> =
        settings.reader(READERS_GROUP).create_with_context(Quiet(queries.trouble.clone())).map_err(failed)?;
    let list = list_of(std::slice::from_ref(&partition), |_| at(offset)).map_err(failed)?;
    consumer.assign(&list).map_err(failed)?;
    let mut arena = Arena::default();
    let mut deadline = Instant::now() + ANSWER_LIMIT;
    while !arena.is_full(max) {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                arena.push(&partition, None, &message);
                deadline = Instant::now() + ANSWER_LIMIT;
            }
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) if settings.failure(&error).is_transient() => {}
            Some(Err(error)) => return Err(failed(error)),
            None if Instant::now() >= deadline => return Err(settings.no_answer("reading a partition")),
            None => {}
        }
    }
    Ok(arena.finish())
}
