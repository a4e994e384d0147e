//! The identities of topics, written into the log: one compacted topic, whose records have a topic's name as key and its
//! identity, 32 hexadecimal digits, as value. The process that creates a topic writes its identity.
//!
//! Kafka's own ids do not serve: a broker whose disks were wiped may keep its cluster id, and librdkafka 2.12 does not return
//! topic ids.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::Utc;
use tokio::time::Instant;

use super::{blocking, broker_queries::BrokerQueries, publisher::KafkaPublisher, reading};
use crate::{NewRecord, Publisher, Result, Retention, TopicPartition, TopicSpec};

/// The topic of the identities.
pub(super) const TOPIC: &str = "topic-identities";

/// How long the process that created a topic may take to write its identity.
const CREATOR_LIMIT: Duration = Duration::from_secs(2);
/// How long a topic that was just created may have no leader.
const LEADER_LIMIT: Duration = Duration::from_secs(5);
/// Interval of the reads meanwhile.
const READ_INTERVAL: Duration = Duration::from_millis(100);
/// Records of one page.
const PAGE_RECORDS: usize = 1_000;

pub(super) fn spec() -> TopicSpec {
    TopicSpec { name: TOPIC.to_owned(), partitions: 1, retention: Retention::LatestOfKey }
}

/// Every identity in the log, by topic; empty if the topic of the identities does not exist. Blocks.
fn read(queries: &BrokerQueries) -> Result<BTreeMap<String, String>> {
    let mut identities = BTreeMap::new();
    let Some(topic) = queries.topics()?.get_key_value(TOPIC).map(|(topic, _)| Arc::clone(topic)) else {
        return Ok(identities);
    };
    let partition = TopicPartition { topic, partition: 0 };
    let mut next = 0;
    loop {
        let page = reading::read(queries, &partition, next, PAGE_RECORDS)?;
        let Some(last) = page.last() else { return Ok(identities) };
        next = last.position.offset + 1;
        for message in page {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            if let Some(key) = &message.key {
                identities.insert(text(key), text(&message.payload));
            }
        }
    }
}

/// Every identity in the log, as [`read`] returns them. Repeated while the partition has no leader: another process may have
/// created the topic a moment ago.
pub(super) async fn known(queries: &Arc<BrokerQueries>) -> Result<BTreeMap<String, String>> {
    let deadline = Instant::now() + LEADER_LIMIT;
    loop {
        let queries = Arc::clone(queries);
        match blocking(move || read(&queries)).await {
            Err(error) if error.is_transient() && Instant::now() < deadline => {
                tokio::time::sleep(READ_INTERVAL).await;
            }
            known => return known,
        }
    }
}

/// Draws and writes an identity for each of these topics. If two processes do so at the same time, the later record is valid
/// for both.
pub(super) async fn write(queries: &Arc<BrokerQueries>, topics: &[String]) -> Result<()> {
    if topics.is_empty() {
        return Ok(());
    }
    let record = |topic: &String| NewRecord {
        key: Some(Bytes::from(topic.clone())),
        payload: Bytes::from(format!("{:032x}", rand::random::<u128>())),
        headers: Vec::new(),
        timestamp: Utc::now(),
    };
    let publisher = KafkaPublisher::new(Arc::clone(queries))?;
    let receipt = publisher.send(TOPIC, topics.iter().map(record).collect()).await?;
    let written = tokio::time::timeout(super::broker_queries::REQUEST_TIMEOUT, receipt.durable()).await;
    written.map_err(|_| queries.settings.timed_out("writing the identities of topics"))?.map(drop)
}

/// Those of `topics` that have no identity after the time that another process, which has just created them, needs to write
/// it: they were created by hand, or by a process that was killed.
pub(super) async fn missing(queries: &Arc<BrokerQueries>, mut topics: Vec<String>) -> Result<Vec<String>> {
    let deadline = Instant::now() + CREATOR_LIMIT;
    loop {
        let known = known(queries).await?;
        topics.retain(|topic| !known.contains_key(topic));
        if topics.is_empty() || Instant::now() >= deadline {
            return Ok(topics);
        }
        tokio::time::sleep(READ_INTERVAL).await;
    }
}
