//! Description of a Kafka cluster, and the test record.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rdkafka::{
    admin::{ConfigResource, OwnedResourceSpecifier, ResourceSpecifier},
    consumer::Consumer,
};

use super::{
    blocking,
    broker_queries::{BrokerQueries, REQUEST_TIMEOUT},
    creating,
    publisher::KafkaPublisher,
    reading,
};
use crate::{
    EventLogError, LogDescription, NewRecord, PROBE_TOPIC, Publisher, Result, Retention, TopicSpec,
    model::PROBE_RETENTION,
};

/// Time limit of the test record: the publisher itself retries without limit.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// Queries the brokers.
pub(crate) async fn describe(queries: &Arc<BrokerQueries>) -> Result<LogDescription> {
    let resources = Arc::clone(queries);
    let (location, cluster_id, topics) = blocking(move || {
        let metadata = resources.metadata()?;
        let brokers = metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port()));
        let location = brokers.collect::<Vec<_>>().join(", ");
        Ok((location, resources.client.client().fetch_cluster_id(REQUEST_TIMEOUT), resources.topics()?))
    })
    .await?;
    let names: Vec<&str> = topics.keys().map(|name| &**name).collect();
    Ok(LogDescription { location, cluster_id, retention: retention(queries, &names).await? })
}

async fn retention(queries: &BrokerQueries, topics: &[&str]) -> Result<BTreeMap<String, Option<Duration>>> {
    let admin = creating::admin(queries)?;
    let resources: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let described = admin.describe_configs(&resources, &creating::options()).await;
    // Dropping the client waits for its thread.
    tokio::task::spawn_blocking(move || drop(admin));
    let described = match described.map_err(|error| queries.settings.failure(&error)) {
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => {
            tracing::debug!(%error, "cannot read the settings of the topics");
            Vec::new()
        }
        Ok(described) => described,
    };
    // Topics whose settings this user may not read are left out.
    Ok(described.into_iter().filter_map(|resource| retention_of(&resource.ok()?)).collect())
}

fn retention_of(resource: &ConfigResource) -> Option<(String, Option<Duration>)> {
    let OwnedResourceSpecifier::Topic(name) = &resource.specifier else { return None };
    let value = resource.get("retention.ms")?.value.as_ref()?;
    // -1: without limit.
    Some((name.clone(), value.parse::<i64>().ok()?.try_into().ok().map(Duration::from_millis)))
}

/// Publishes the test record and returns when the broker stored it.
pub(crate) async fn probe(queries: &Arc<BrokerQueries>) -> Result<DateTime<Utc>> {
    let spec =
        TopicSpec { name: PROBE_TOPIC.to_owned(), partitions: 1, retention: Retention::For(PROBE_RETENTION) };
    creating::ensure(queries, &[spec]).await?;
    let record = NewRecord { key: None, payload: Bytes::new(), headers: Vec::new(), timestamp: Utc::now() };
    let publisher = KafkaPublisher::new(Arc::clone(queries))?;
    let durable = async { publisher.send(PROBE_TOPIC, vec![record]).await?.durable().await };
    let positions = tokio::time::timeout(PROBE_LIMIT, durable)
        .await
        .map_err(|_| queries.settings.timed_out("publishing a record"))??;
    let position = positions.into_iter().next().ok_or(EventLogError::Closed)?;
    let queries = Arc::clone(queries);
    blocking(move || {
        let read = reading::read(&queries, &position.topic_partition, position.offset, 1)?;
        read.first()
            .map(|message| message.timestamp)
            .ok_or_else(|| queries.settings.timed_out("reading it back"))
    })
    .await
}
