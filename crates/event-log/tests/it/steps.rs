//! Steps that several tests share.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::ensure;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use event_log::{
    CommitHandle, Event, EventLog, Message, NewRecord, Position, Retention, StartAt, Subscription,
    TopicPartition, TopicSpec,
};

use crate::fixture::Fixture;

/// Time after which a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
/// Longest wait of one call of `next`.
pub(crate) const WAIT: Duration = Duration::from_millis(500);

/// Creates a topic. Returns its name.
pub(crate) async fn topic(fixture: &Fixture, log: &dyn EventLog, partitions: i32) -> anyhow::Result<String> {
    let name = fixture.name("topic");
    log.ensure_topics(&[spec(&name, partitions)]).await?;
    Ok(name)
}

pub(crate) fn spec(name: &str, partitions: i32) -> TopicSpec {
    TopicSpec { name: name.to_owned(), partitions, retention: Retention::For(Duration::from_hours(1)) }
}

pub(crate) fn record(key: &str, payload: &str) -> NewRecord {
    NewRecord {
        key: Some(Bytes::from(key.to_owned())),
        payload: Bytes::from(payload.to_owned()),
        headers: Vec::new(),
        timestamp: now(),
    }
}

/// The current time in the precision of the log, milliseconds.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(Utc::now().timestamp_millis()).unwrap()
}

/// One record for each number, with the number as payload, over 20 keys.
pub(crate) fn numbered(numbers: std::ops::Range<usize>) -> Vec<NewRecord> {
    numbers.map(|number| record(&format!("key-{}", number % 20), &number.to_string())).collect()
}

pub(crate) async fn publish(
    log: &dyn EventLog,
    topic: &str,
    records: Vec<NewRecord>,
) -> anyhow::Result<Vec<Position>> {
    Ok(log.publisher()?.send(topic, records).await?.durable().await?)
}

pub(crate) fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub(crate) fn number(message: &Message) -> usize {
    text(&message.payload).parse().unwrap()
}

pub(crate) fn numbers(messages: &[Message]) -> BTreeSet<usize> {
    messages.iter().map(number).collect()
}

pub(crate) fn handles(messages: &mut [Message]) -> Vec<CommitHandle> {
    messages.iter_mut().filter_map(|message| message.handle.take()).collect()
}

/// Start position of assigned partitions.
#[derive(Clone, Copy)]
pub(crate) enum Begin<'a> {
    At(StartAt),
    /// The committed offset of the group; the beginning if there is none.
    Committed(&'a dyn EventLog, &'a str),
}

impl From<StartAt> for Begin<'_> {
    fn from(start: StartAt) -> Self {
        Self::At(start)
    }
}

/// Starts partitions.
pub(crate) async fn start(
    subscription: &mut dyn Subscription,
    partitions: &[TopicPartition],
    begin: impl Into<Begin<'_>>,
) -> anyhow::Result<()> {
    let begin = begin.into();
    let mut starts = Vec::new();
    for partition in partitions {
        let start = match begin {
            Begin::At(start) => start,
            Begin::Committed(log, group) => {
                let lags = log.lag(group, &[&partition.topic]).await?;
                let lag = lags.into_iter().find(|lag| lag.topic_partition == *partition);
                lag.and_then(|lag| lag.committed).map_or(StartAt::Beginning, StartAt::Offset)
            }
        };
        starts.push((partition.clone(), start));
    }
    Ok(subscription.start(&starts).await?)
}

/// Returns the next event, and starts assigned partitions at `begin`. Ignores transient failures, as every caller has a deadline.
pub(crate) async fn step(
    subscription: &mut dyn Subscription,
    begin: impl Into<Begin<'_>>,
) -> anyhow::Result<Event> {
    let event = match subscription.next(100, WAIT).await {
        Err(error) if error.is_transient() => Event::Messages(Vec::new()),
        event => event?,
    };
    if let Event::Assigned(partitions) = &event {
        start(subscription, partitions, begin).await?;
    }
    Ok(event)
}

/// Consumes messages until there are `count`.
pub(crate) async fn take(
    subscription: &mut dyn Subscription,
    begin: impl Into<Begin<'_>>,
    count: usize,
) -> anyhow::Result<Vec<Message>> {
    let begin = begin.into();
    let started = Instant::now();
    let mut messages = Vec::new();
    while messages.len() < count {
        ensure!(started.elapsed() < DEADLINE, "only {} of {count} messages were delivered", messages.len());
        if let Event::Messages(more) = step(subscription, begin).await? {
            messages.extend(more);
        }
    }
    Ok(messages)
}

/// Waits until the member has `count` partitions; does not start them.
pub(crate) async fn assigned(
    subscription: &mut dyn Subscription,
    count: usize,
) -> anyhow::Result<Vec<TopicPartition>> {
    let started = Instant::now();
    let mut partitions = Vec::new();
    while partitions.len() < count {
        ensure!(
            started.elapsed() < DEADLINE,
            "only {} of {count} partitions were assigned",
            partitions.len()
        );
        match subscription.next(100, WAIT).await? {
            Event::Assigned(more) => partitions.extend(more),
            Event::Standby => {}
            Event::Revoked(gone) => partitions.retain(|partition| !gone.contains(partition)),
            Event::Messages(messages) => ensure!(messages.is_empty(), "messages before the start"),
        }
    }
    partitions.sort();
    Ok(partitions)
}

/// Checks that the next call delivers no message.
pub(crate) async fn no_message_arrives(subscription: &mut dyn Subscription) -> anyhow::Result<()> {
    match subscription.next(100, WAIT).await? {
        Event::Messages(messages) => ensure!(messages.is_empty(), "{} messages too many", messages.len()),
        other => anyhow::bail!("unexpected event: {other:?}"),
    }
    Ok(())
}
