//! Reading without checkpoints: for what shows the present, and keeps nothing.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use event_log::{Event, EventLog, Message, StartAt, Subscription, TopicPartition};
use service_runtime::Component;
use tokio_util::sync::CancellationToken;

/// Most messages taken at once.
const MAX_MESSAGES: usize = 5_000;
/// Longest wait for messages.
const MAX_WAIT_MS: u64 = 250;
/// Between two tries while the log is unavailable.
const RETRY_MS: u64 = 500;

/// What is done with the messages of a [`Follow`].
pub trait Follower: Send {
    /// Where to start a partition that is assigned for the first time. Assigned again, it goes on where it was.
    fn start_at(&self, partition: &TopicPartition) -> StartAt;

    /// Takes messages, in order per partition. Never waits.
    fn take(&mut self, messages: &[Message]);
}

/// A member of a group of its own, which reads every partition, commits nothing, and needs no store.
pub struct Follow {
    subscription: Box<dyn Subscription>,
    next_offsets: BTreeMap<TopicPartition, u64>,
    health: Component,
}

impl Follow {
    /// Joins `group`, which no other process may use.
    ///
    /// # Errors
    /// A log that refuses.
    pub async fn join(
        log: &dyn EventLog,
        group: &str,
        topics: &[&str],
        health: Component,
    ) -> anyhow::Result<Self> {
        let joined = log.subscribe(group, topics).await;
        let subscription = joined.with_context(|| format!("cannot join the group {group}"))?;
        Ok(Self { subscription, next_offsets: BTreeMap::new(), health })
    }

    /// Reads until the shutdown.
    ///
    /// # Errors
    /// A log that fails permanently.
    pub async fn run(
        mut self,
        mut follower: impl Follower,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            let next = self.subscription.next(MAX_MESSAGES, Duration::from_millis(MAX_WAIT_MS));
            let taken = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                event = next => match event {
                    Ok(event) => self.take(event, &mut follower).await,
                    Err(error) => Err(error),
                },
            };
            match taken {
                Ok(()) => {}
                Err(error) if error.is_transient() => {
                    self.health.down(&error.to_string());
                    tokio::select! {
                        () = shutdown.cancelled() => return Ok(()),
                        () = tokio::time::sleep(Duration::from_millis(RETRY_MS)) => {}
                    }
                }
                Err(error) => return Err(error).context("the event log cannot be read (--log, LOG_URL)"),
            }
        }
    }

    async fn take(&mut self, event: Event, follower: &mut impl Follower) -> event_log::Result<()> {
        match event {
            Event::Assigned(partitions) => {
                let start = |partition: TopicPartition| {
                    let known = self.next_offsets.get(&partition);
                    let at =
                        known.map_or_else(|| follower.start_at(&partition), |next| StartAt::Offset(*next));
                    (partition, at)
                };
                let starts: Vec<_> = partitions.into_iter().map(start).collect();
                self.subscription.start(&starts).await?;
                self.health.up("reads");
            }
            Event::Standby | Event::Revoked(_) => {}
            Event::Messages(messages) => {
                self.health.up("reads");
                follower.take(&messages);
                for message in messages {
                    let position = message.position;
                    self.next_offsets.insert(position.topic_partition, position.offset + 1);
                }
            }
        }
        Ok(())
    }
}
