//! Creates missing topics.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    types::RDKafkaErrorCode,
};
use tokio::time::Duration;

use super::{
    blocking,
    broker_queries::{BrokerQueries, REQUEST_TIMEOUT},
    context::QueryContext,
    failure, identities,
};
use crate::{EventLogError, PROBE_TOPIC, Result, Retention, TopicSpec};

/// The broker's default, since Kafka 2.4.
const BROKERS_REPLICATION: i32 = -1;
/// How long a created topic may take to appear in the metadata.
const VISIBLE_LIMIT: Duration = Duration::from_secs(10);
/// Interval of these checks.
const VISIBLE_INTERVAL: Duration = Duration::from_millis(50);

/// Creates the topics that are missing, writes the identity of each topic that has none, and waits until all can be used.
pub(crate) async fn ensure(queries: &Arc<BrokerQueries>, specs: &[TopicSpec]) -> Result<()> {
    // Queried once: another service that starts at the same time may create them meanwhile, and creating zero topics is an
    // error.
    let all = [&[identities::spec()], specs].concat();
    let names: Vec<&str> = all.iter().map(|spec| spec.name.as_str()).collect();
    let absent = missing(queries, &names).await?;
    let mut new = BTreeMap::new();
    if !absent.is_empty() {
        tracing::info!(topics = absent.join(", "), "creating missing topics");
        let absent: Vec<TopicSpec> = all.iter().filter(|spec| absent.contains(&spec.name)).cloned().collect();
        let mut before = identities::known(queries).await?;
        let created = create(queries, &absent).await?;
        let created = created.into_iter().filter(|name| name != identities::TOPIC);
        new.extend(created.map(|name| {
            let former = before.remove(&name);
            (name, former)
        }));
        let deadline = Instant::now() + VISIBLE_LIMIT;
        while !missing(queries, &names).await?.is_empty() {
            if Instant::now() >= deadline {
                return Err(queries.settings.timed_out("waiting for a new topic to appear"));
            }
            tokio::time::sleep(VISIBLE_INTERVAL).await;
        }
    }
    if !new.is_empty() {
        // A topic that was created here may have replaced a deleted one, whose identity is still in the log. Where another one has
        // come meanwhile, a process that waited for this one has written it, and uses it.
        let after = identities::known(queries).await?;
        let unchanged = new.iter().filter(|(name, former)| after.get(*name) == former.as_ref());
        identities::write(queries, &unchanged.map(|(name, _)| name.clone()).collect::<Vec<_>>()).await?;
    }
    let others = specs.iter().map(|spec| spec.name.clone()).filter(|name| !new.contains_key(name)).collect();
    let without = identities::missing(queries, others).await?;
    identities::write(queries, &without).await
}

async fn missing(queries: &Arc<BrokerQueries>, names: &[&str]) -> Result<Vec<String>> {
    let queries = Arc::clone(queries);
    let existing = blocking(move || queries.topics()).await?;
    Ok(names.iter().filter(|name| !existing.contains_key(**name)).map(ToString::to_string).collect())
}

/// Creates topics. Returns those that this call created, without those that another process created meanwhile.
async fn create(queries: &BrokerQueries, specs: &[TopicSpec]) -> Result<Vec<String>> {
    let admin = admin(queries)?;
    let setting = |spec: &TopicSpec| match spec.retention {
        Retention::For(retention) => ("retention.ms", retention.as_millis().to_string()),
        Retention::LatestOfKey => ("cleanup.policy", "compact".to_owned()),
    };
    let settings: Vec<(&str, String)> = specs.iter().map(setting).collect();
    let new_topic = |(spec, (name, value))| -> NewTopic<'_> {
        let TopicSpec { name: topic, partitions, .. }: &TopicSpec = spec;
        NewTopic::new(topic, *partitions, TopicReplication::Fixed(BROKERS_REPLICATION))
            .set(name, value)
            .set("message.timestamp.type", timestamp_of(topic))
    };
    let topics: Vec<NewTopic<'_>> = specs
        .iter()
        .zip(settings.iter().map(|(name, value)| (*name, value.as_str())))
        .map(new_topic)
        .collect();
    let created = admin.create_topics(&topics, &options()).await;
    // Dropping the client waits for its thread.
    tokio::task::spawn_blocking(move || drop(admin));
    let mut new = Vec::new();
    for result in created.map_err(|error| queries.settings.failure(&error))? {
        match result {
            Ok(name) => new.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) if failure::is_transient(code) => {
                return Err(queries.settings.timed_out(&format!("creating topic `{topic}` ({code})")));
            }
            Err((topic, code)) => {
                return Err(EventLogError::BadTopic { topic, reason: code.to_string() });
            }
        }
    }
    Ok(new)
}

/// A client for administration.
pub(super) fn admin(queries: &BrokerQueries) -> Result<AdminClient<QueryContext>> {
    let made = queries.settings.client().create_with_context(QueryContext(queries.connection_error.clone()));
    made.map_err(|error| queries.settings.failure(&error))
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT)).operation_timeout(Some(REQUEST_TIMEOUT))
}

/// The timestamp of a record is its creation time, in the probe topic the time at which the broker stored it.
fn timestamp_of(topic: &str) -> &'static str {
    if topic == PROBE_TOPIC { "LogAppendTime" } else { "CreateTime" }
}
