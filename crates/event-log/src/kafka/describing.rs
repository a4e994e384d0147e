//! What a Kafka says about itself, and one record to try.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rdkafka::{
    admin::{ConfigResource, OwnedResourceSpecifier, ResourceSpecifier},
    consumer::Consumer,
};

use super::{
    blocking,
    broker_queries::{ANSWER_LIMIT, BrokerQueries},
    creating,
    publisher::KafkaPublisher,
    reading,
};
use crate::{
    EventLogError, LogDescription, NewRecord, PROBE_TOPIC, Publisher, Result, Retention, TopicSpec,
    model::PROBE_RETENTION,
};

/// How long the record to try may take: the publisher itself never gives up.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// Asks the brokers.
pub(crate) async fn describe(queries: &Arc<BrokerQueries>) -> Result<LogDescription> {
    let asked = Arc::clone(queries);
    let (place, cluster_id, topics) = blocking(move || {
        let metadata = asked.metadata()?;
        let brokers = metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port()));
        let place = brokers.collect::<Vec<_>>().join(", ");
        Ok((place, asked.client.client().fetch_cluster_id(ANSWER_LIMIT), asked.topics()?))
    })
    .await?;
    let names: Vec<&str> = topics.keys().map(|name| &**name).collect();
    Ok(LogDescription { place, cluster_id, retention: retention(queries, &names).await? })
}

async fn retention(queries: &BrokerQueries, topics: &[&str]) -> Result<BTreeMap<String, Option<Duration>>> {
    let admin = creating::admin(queries)?;
    let asked: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let described = admin.describe_configs(&asked, &creating::options()).await;
    // Its thread is waited for when it goes.
    tokio::task::spawn_blocking(move || drop(admin));
    let described = match described.map_err(|error| queries.settings.failure(&error)) {
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => {
            tracing::debug!(%error, "the settings of the topics cannot be read");
            Vec::new()
        }
        Ok(described) => described,
    };
    // A topic that we may not ask about is left out.
    Ok(described.into_iter().filter_map(|resource| retention_of(&resource.ok()?)).collect())
}

fn retention_of(resource: &ConfigResource) -> Option<(String, Option<Duration>)> {
    let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { return None };
    let value = resource.get("retention.ms")?.value.as_ref()?;
    // -1: for ever.
    Some((name.clone(), value.parse::<i64>().ok()?.try_into().ok().map(Duration::from_millis)))
}

/// Publishes the record and reads when the broker stored it.
pub(crate) async fn probe(queries: &Arc<BrokerQueries>) -> Result<DateTime<Utc>> {
    let spec =
        TopicSpec { name: PROBE_TOPIC.to_owned(), partitions: 1, retention: Retention::For(PROBE_RETENTION) };
    creating::ensure(queries, &[spec]).await?;
    let record = NewRecord { key: None, payload: Bytes::new(), headers: Vec::new(), timestamp: Utc::now() };
    let publisher = KafkaPublisher::new(Arc::clone(queries))?;
    let durable = async { publisher.send(PROBE_TOPIC, vec![record]).await?.durable().await };
    let positions = tokio::time::timeout(PROBE_LIMIT, durable)
        .await
        .map_err(|_| queries.settings.no_answer("publishing a record"))??;
    let position = positions.into_iter().next().ok_or(EventLogError::Closed)?;
    let queries = Arc::clone(queries);
    blocking(move || {
        let read = reading::read(&queries, &position.topic_partition, position.offset, 1)?;
        read.first()
            .map(|message| message.timestamp)
            .ok_or_else(|| queries.settings.no_answer("reading it back"))
    })
    .await
}
