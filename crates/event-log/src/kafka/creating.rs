//! Topics that are missing.

use std::{sync::Arc, time::Instant};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    types::RDKafkaErrorCode,
};
use tokio::time::Duration;

use super::{
    blocking,
    broker_queries::{ANSWER_LIMIT, BrokerQueries},
    context::Quiet,
    failure, identities,
};
use crate::{EventLogError, PROBE_TOPIC, Result, Retention, TopicSpec};

/// The broker's own choice, from Kafka 2.4 on.
const BROKERS_REPLICATION: i32 = -1;
/// How long a created topic may take to show up.
const VISIBLE_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Creates what is missing, writes the identity of each topic that has none, and waits until all can be used.
pub(crate) async fn ensure(queries: &Arc<BrokerQueries>, specs: &[TopicSpec]) -> Result<()> {
    // Queried once: of services that start together another may create them meanwhile, and to create none is refused.
    let all = [&[identities::spec()], specs].concat();
    let names: Vec<&str> = all.iter().map(|spec| spec.name.as_str()).collect();
    let absent = missing(queries, &names).await?;
    let mut new = Vec::new();
    if !absent.is_empty() {
        tracing::info!(topics = absent.join(", "), "creating the topics that are missing");
        let absent: Vec<TopicSpec> = all.iter().filter(|spec| absent.contains(&spec.name)).cloned().collect();
        new = create(queries, &absent).await?;
        new.retain(|name| name != identities::TOPIC);
        let deadline = Instant::now() + VISIBLE_LIMIT;
        while !missing(queries, &names).await?.is_empty() {
            if Instant::now() >= deadline {
                return Err(queries.settings.no_answer("waiting for a new topic to show up"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    // One that was created here replaces another of its name, whose identity may still be there.
    identities::write(queries, &new).await?;
    let others = specs.iter().map(|spec| spec.name.clone()).filter(|name| !new.contains(name)).collect();
    let without = identities::missing(queries, others).await?;
    identities::write(queries, &without).await
}

async fn missing(queries: &Arc<BrokerQueries>, names: &[&str]) -> Result<Vec<String>> {
    let queries = Arc::clone(queries);
    let existing = blocking(move || queries.topics()).await?;
    Ok(names.iter().filter(|name| !existing.contains_key(**name)).map(ToString::to_string).collect())
}

/// Creates topics; those that were created by this very call, and not by another process meanwhile.
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
    // Its thread is waited for when it goes.
    tokio::task::spawn_blocking(move || drop(admin));
    let mut new = Vec::new();
    for result in created.map_err(|error| queries.settings.failure(&error))? {
        match result {
            Ok(name) => new.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) if failure::is_transient(code) => {
                return Err(queries.settings.no_answer(&format!("creating topic `{topic}` ({code})")));
            }
            Err((topic, code)) => {
                return Err(EventLogError::BadTopic { topic, reason: code.to_string() });
            }
        }
    }
    Ok(new)
}

/// The client of administration.
pub(super) fn admin(queries: &BrokerQueries) -> Result<AdminClient<Quiet>> {
    let made = queries.settings.client().create_with_context(Quiet(queries.trouble.clone()));
    made.map_err(|error| queries.settings.failure(&error))
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_LIMIT)).operation_timeout(Some(ANSWER_LIMIT))
}

/// Records tell when they were made; those of the probe, when the broker stored them.
fn timestamp_of(topic: &str) -> &'static str {
    if topic == PROBE_TOPIC { "LogAppendTime" } else { "CreateTime" }
}
