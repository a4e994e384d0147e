//! The log on Kafka, through librdkafka.
//!
//! - `url`: parses the URL; `settings`: settings of librdkafka; `context`: its log lines and connection errors; `failure`: its
//!   other errors.
//! - `broker_queries`: topics, offsets, groups; `creating`: topics, with their `identities`; `describing`: settings of topics;
//!   `reading`: partitions without a group.
//! - `publisher`: publishing; `deliveries`: its records in flight; `stall`: detects a client that has stalled.
//! - `membership`, `subscription`, `seek_task`, `arena`: consuming.

mod arena;
mod broker_queries;
mod context;
mod creating;
mod deliveries;
mod describing;
mod failure;
mod identities;
mod membership;
mod publisher;
mod reading;
mod seek_task;
mod settings;
mod stall;
mod subscription;
mod url;

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use self::{broker_queries::BrokerQueries, publisher::KafkaPublisher, subscription::KafkaSubscription};
use crate::{
    EventLog, EventLogError, LogAdmin, LogDescription, Message, PartitionLag, Publisher, Result,
    Subscription, TopicInfo, TopicPartition, TopicSpec, check::check_spec,
};

/// The log on Kafka.
struct KafkaLog(Arc<BrokerQueries>);

/// Opens the log of `rest`, the part of the URL after `kafka:` or, with `tls`, `kafka+tls:`. Does not connect.
pub(crate) fn open(rest: &str, tls: bool) -> Result<Arc<dyn EventLog>> {
    Ok(Arc::new(KafkaLog(Arc::new(BrokerQueries::new(url::parse(rest, tls)?)?))))
}

/// Runs a blocking call on a thread for blocking work.
async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(|_| EventLogError::Closed)?
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[async_trait]
impl LogAdmin for KafkaLog {
    async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<()> {
        specs.iter().try_for_each(check_spec)?;
        creating::ensure(&self.0, specs).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        let queries = Arc::clone(&self.0);
        blocking(move || {
            let topics = queries.topics()?;
            let partitions_of = |(topic, count): (&Arc<str>, &i32)| {
                let topic = Arc::clone(topic);
                (0..*count).map(move |partition| TopicPartition { topic: Arc::clone(&topic), partition })
            };
            let bounds = queries.bounds(&topics.iter().flat_map(partitions_of).collect::<Vec<_>>())?;
            let bounds_of = |topic: &Arc<str>, partition| {
                let wanted = TopicPartition { topic: Arc::clone(topic), partition };
                bounds.get(&wanted).copied().unwrap_or_default()
            };
            let info = |(topic, count): (&Arc<str>, &i32)| TopicInfo {
                name: topic.to_string(),
                partitions: (0..*count).map(|partition| bounds_of(topic, partition)).collect(),
            };
            Ok(topics.iter().map(info).collect())
        })
        .await
    }

    async fn describe(&self) -> Result<LogDescription> {
        describing::describe(&self.0).await
    }

    async fn probe(&self) -> Result<DateTime<Utc>> {
        describing::probe(&self.0).await
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn identities(&self, topics: &[&str]) -> Result<BTreeMap<String, String>> {
        let mut identities = identities::known(&self.0).await?;
        identities.retain(|topic, _| topics.contains(&topic.as_str()));
        Ok(identities)
    }

    async fn bounds(&self, topics: &[&str]) -> Result<BTreeMap<TopicPartition, Range<u64>>> {
        let (queries, topics) = (Arc::clone(&self.0), owned(topics));
        blocking(move || {
            let bounds = queries.bounds(&queries.partitions_of(&topics)?)?;
            Ok(bounds.into_iter().map(|(partition, (first, end))| (partition, first..end)).collect())
        })
        .await
    }

    fn publisher(&self) -> Result<Arc<dyn Publisher>> {
        Ok(Arc::new(KafkaPublisher::new(Arc::clone(&self.0))?))
    }

    async fn subscribe(&self, group: &str, topics: &[&str]) -> Result<Box<dyn Subscription>> {
        let (queries, group, topics) = (Arc::clone(&self.0), group.to_owned(), owned(topics));
        let join =
            move || Ok(Box::new(KafkaSubscription::join(queries, &group, &topics)?) as Box<dyn Subscription>);
        blocking(join).await
    }

    async fn read(&self, partition: &TopicPartition, offset: u64, max: usize) -> Result<Vec<Message>> {
        let (queries, partition) = (Arc::clone(&self.0), partition.clone());
        blocking(move || reading::read(&queries, &partition, offset, max)).await
    }

    async fn lag(&self, group: &str, topics: &[&str]) -> Result<Vec<PartitionLag>> {
        let (queries, group, topics) = (Arc::clone(&self.0), group.to_owned(), owned(topics));
        blocking(move || {
            let partitions = queries.partitions_of(&topics)?;
            let bounds = queries.bounds(&partitions)?;
            let committed = queries.committed(&group, &partitions)?;
            let lag_of = |topic_partition: TopicPartition| {
                let (first, end) = bounds.get(&topic_partition).copied().unwrap_or_default();
                let committed = committed.get(&topic_partition).copied();
                let lag = end.saturating_sub(committed.unwrap_or(0).max(first));
                PartitionLag { topic_partition, committed, first, end, lag }
            };
            Ok(partitions.into_iter().map(lag_of).collect())
        })
        .await
    }
}
