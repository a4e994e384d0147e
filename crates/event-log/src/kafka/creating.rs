//! Topics that are missing.

use std::{sync::Arc, time::Instant};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    types::RDKafkaErrorCode,
};
use tokio::time::Duration;

use super::{
    asking::{ANSWER_LIMIT, Asking},
    blocking,
    context::Quiet,
    failure,
};
use crate::{EventLogError, PROBE_TOPIC, Result, TopicSpec};

/// The broker's own choice, from Kafka 2.4 on.
const BROKERS_REPLICATION: i32 = -1;
/// How long a created topic may take to show up.
const VISIBLE_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Creates what is missing and waits until all can be used.
pub(crate) async fn ensure(asking: &Arc<Asking>, specs: &[TopicSpec]) -> Result<()> {
    // Looked at once: of services that start together another may make them meanwhile, and to make none is refused.
    let absent = missing(asking, specs).await?;
    if absent.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = absent.iter().map(|spec| spec.name.as_str()).collect();
    tracing::info!(topics = names.join(", "), "topics are missing and are made");
    create(asking, &absent).await?;
    let deadline = Instant::now() + VISIBLE_LIMIT;
    while !missing(asking, specs).await?.is_empty() {
        if Instant::now() >= deadline {
            return Err(asking.settings.no_answer("waiting for a new topic to show up"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

async fn missing(asking: &Arc<Asking>, specs: &[TopicSpec]) -> Result<Vec<TopicSpec>> {
    let asking = Arc::clone(asking);
    let there = blocking(move || asking.topics()).await?;
    Ok(specs.iter().filter(|spec| !there.contains_key(spec.name.as_str())).cloned().collect())
}

async fn create(asking: &Asking, specs: &[TopicSpec]) -> Result<()> {
    let admin = admin(asking)?;
    let retention: Vec<String> = specs.iter().map(|spec| spec.retention.as_millis().to_string()).collect();
    let topics: Vec<NewTopic<'_>> = specs
        .iter()
        .zip(&retention)
        .map(|(spec, retention_ms)| {
            NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(BROKERS_REPLICATION))
                .set("retention.ms", retention_ms)
                .set("message.timestamp.type", timestamp_of(&spec.name))
        })
        .collect();
    let created = admin.create_topics(&topics, &options()).await;
    // Its thread is waited for when it goes.
    tokio::task::spawn_blocking(move || drop(admin));
    for result in created.map_err(|error| asking.settings.failure(&error))? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) if failure::is_transient(code) => {
                return Err(asking.settings.no_answer(&format!("creating topic `{topic}` ({code})")));
            }
            Err((topic, code)) => {
                return Err(EventLogError::BadTopic { topic, reason: code.to_string() });
            }
        }
    }
    Ok(())
}

/// For questions that only the brokers' keeper asks.
pub(super) fn admin(asking: &Asking) -> Result<AdminClient<Quiet>> {
    let made = asking.settings.client().create_with_context(Quiet(asking.trouble.clone()));
    made.map_err(|error| asking.settings.failure(&error))
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_LIMIT)).operation_timeout(Some(ANSWER_LIMIT))
}

/// Records tell when they were made; those of the probe, when the broker stored them.
fn timestamp_of(topic: &str) -> &'static str {
    if topic == PROBE_TOPIC { "LogAppendTime" } else { "CreateTime" }
}
