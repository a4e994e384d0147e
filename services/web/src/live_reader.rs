//! Reads the live topics into the live view, each partition from its end on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{Event, Message, StartAt, Subscription, TopicPartition};
use market::{Candle, Tick};
use service_runtime::{Component, Meter, Runtime};
use topics::{
    candle,
    status::{self, ServiceStatus},
    tick,
};

use crate::{heartbeats::ClockSkew, live::Live};

/// Most messages of one read.
const MAX_MESSAGES: usize = 5_000;
/// Longest wait for messages.
const MAX_WAIT_MS: u64 = 250;
/// Between two attempts while the log is away.
const RETRY_MS: u64 = 500;
/// Of each partition of heartbeats, so many of the last records are read at the start.
const STATUS_HISTORY: u64 = 64;

/// The topics that are read.
pub(crate) const TOPICS: [&str; 4] = [tick::STOCK_PRICES, tick::CRYPTO_PRICES, candle::TOPIC, status::TOPIC];

/// A member of a group of its own. It has no checkpoint: at the start the live view is loaded from the store.
pub(crate) struct LiveReader {
    live: Arc<Live>,
    subscription: Box<dyn Subscription>,
    /// Where to continue when a partition is assigned again.
    next_offsets: BTreeMap<TopicPartition, u64>,
    health: Component,
    unreadable: Arc<Meter>,
}

/// One record of a live topic.
enum Record {
    Tick(Tick),
    Candle(Candle),
    Heartbeat(ServiceStatus),
}

impl LiveReader {
    /// Joins the group. When this returns, reading begins at the end of every partition.
    ///
    /// # Errors
    /// The log refuses the subscription.
    pub(crate) async fn join(
        live: Arc<Live>,
        runtime: &Runtime,
        boot: &str,
        unreadable: Arc<Meter>,
    ) -> anyhow::Result<Self> {
        let health = runtime.status.component("live prices");
        let group = format!("web-{boot}");
        let subscription = runtime
            .log
            .subscribe(&group, &TOPICS)
            .await
            .with_context(|| format!("cannot join the group {group}"))?;
        Ok(Self { live, subscription, next_offsets: BTreeMap::new(), health, unreadable })
    }

    /// Reads until the shutdown.
    ///
    /// # Errors
    /// An error of the log that does not pass by itself.
    pub(crate) async fn run(mut self, runtime: Runtime) -> anyhow::Result<()> {
        loop {
            let next = self.subscription.next(MAX_MESSAGES, Duration::from_millis(MAX_WAIT_MS));
            let handled = tokio::select! {
                () = runtime.shutdown.cancelled() => return Ok(()),
                event = next => match event {
                    Ok(event) => self.handle(event).await,
                    Err(error) => Err(error),
                },
            };
            match handled {
                Ok(()) => {}
                Err(error) if error.is_transient() => {
                    self.health.down(&error.to_string());
                    tokio::select! {
                        () = runtime.shutdown.cancelled() => return Ok(()),
                        () = tokio::time::sleep(Duration::from_millis(RETRY_MS)) => {}
                    }
                }
                Err(error) => return Err(error).context("the live topics cannot be read"),
            }
        }
    }

    async fn handle(&mut self, event: Event) -> event_log::Result<()> {
        match event {
            Event::Assigned(partitions) => {
                for partition in partitions {
                    let start = match self.next_offsets.get(&partition) {
                        Some(next) => StartAt::Offset(*next),
                        // The last heartbeats show at once which processes there are.
                        None if &*partition.topic == status::TOPIC => StartAt::BeforeEnd(STATUS_HISTORY),
                        None => StartAt::End,
                    };
                    self.subscription.seek(&partition, start).await?;
                }
                self.health.up("reads the live topics");
            }
            Event::Standby | Event::Revoked(_) => {}
            Event::Messages(messages) => {
                self.health.up("reads the live topics");
                self.apply(&messages);
            }
        }
        Ok(())
    }

    fn apply(&mut self, messages: &[Message]) {
        let now = Utc::now();
        // Decoded first: requests wait for the lock of the quotes.
        let records: Vec<Record> = messages.iter().filter_map(|message| decode(message, now)).collect();
        // The consumer publishes dead letters; here unreadable records are only counted.
        self.unreadable.add((messages.len() - records.len()) as u64);

        let mut heartbeats = Vec::new();
        let mut quotes = self.live.quotes();
        for record in records {
            match record {
                Record::Tick(tick) => quotes.apply_tick(&tick, now),
                Record::Candle(candle) => quotes.apply_candle(&candle),
                Record::Heartbeat(heartbeat) => heartbeats.push(heartbeat),
            }
        }
        drop(quotes);
        for heartbeat in heartbeats {
            let skew = self.live.pipeline().take_heartbeat(heartbeat, now);
            skew.iter().for_each(warn_of_skew);
        }
        for message in messages {
            let position = &message.position;
            match self.next_offsets.get_mut(&position.topic_partition) {
                Some(next) => *next = position.offset + 1,
                None => {
                    self.next_offsets.insert(position.topic_partition.clone(), position.offset + 1);
                }
            }
        }
    }
}

/// `None` where the record cannot be read.
fn decode(message: &Message, now: DateTime<Utc>) -> Option<Record> {
    match &*message.position.topic_partition.topic {
        status::TOPIC => status::decode(&message.payload).ok().map(Record::Heartbeat),
        candle::TOPIC => candle::decode(&message.payload).ok().map(Record::Candle),
        _ => tick::decode(&message.payload, now).ok().map(Record::Tick),
    }
}

/// [`crate::heartbeats::Heartbeats`] limits how often.
fn warn_of_skew(ClockSkew { service, instance, ahead }: &ClockSkew) {
    tracing::warn!(
        service,
        instance,
        seconds = ahead.num_seconds().abs(),
        "the clock of a process is {} this host's: set the clocks of all machines by NTP",
        if *ahead > TimeDelta::zero() { "ahead of" } else { "behind" }
    );
}
