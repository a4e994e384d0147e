//! Keeps the picture up to date: reads the live topics, puts changes into words, and wakes the tabs.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use event_log::{Event, Message, StartAt, Subscription, TopicPartition};
use service_runtime::{Component, Meter, Runtime};
use tokio::sync::watch;
use topics::{candle, names, status, tick};

use crate::{heartbeats::Skew, picture::Picture, pipeline::Pipeline};

/// Changes are put into words this often.
const FLUSH_INTERVAL_MS: u64 = 40;
/// Most messages taken in at once.
const MAX_MESSAGES: usize = 5_000;
/// Longest wait for messages.
const MAX_WAIT_MS: u64 = 250;
/// Between two tries while the log is away.
const RETRY_MS: u64 = 500;
/// Heartbeats older than so many records are not asked for.
const STATUS_HISTORY: u64 = 64;

/// The topics that are watched.
pub(crate) const TOPICS: [&str; 4] = [tick::STOCK_PRICES, tick::CRYPTO_PRICES, candle::TOPIC, status::TOPIC];

/// The picture and the pipeline, shared by all requests.
pub(crate) struct Live {
    /// Tells one life of this process from the next: versions count from 1 in each.
    pub(crate) boot: String,
    picture: Mutex<Picture>,
    pipeline: Mutex<Pipeline>,
    version: watch::Sender<u64>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is replaced field by field and valid after each: a panic elsewhere must not end the pages.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    pub(crate) fn new(boot: String, picture: Picture, pipeline: Pipeline) -> Self {
        Self {
            boot,
            picture: Mutex::new(picture),
            pipeline: Mutex::new(pipeline),
            version: watch::Sender::new(0),
        }
    }

    /// Never held across an await.
    pub(crate) fn picture(&self) -> MutexGuard<'_, Picture> {
        locked(&self.picture)
    }

    /// Never held across an await.
    pub(crate) fn pipeline(&self) -> MutexGuard<'_, Pipeline> {
        locked(&self.pipeline)
    }

    /// Wakes at every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn flush(&self) {
        let mut picture = self.picture();
        if picture.flush(Utc::now()) {
            let version = picture.version();
            drop(picture);
            self.version.send_replace(version);
        }
    }
}

/// Puts changes into words until the shutdown.
pub(crate) async fn flush(live: Arc<Live>, runtime: Runtime) -> anyhow::Result<()> {
    let mut due = tokio::time::interval(Duration::from_millis(FLUSH_INTERVAL_MS));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = runtime.shutdown.cancelled() => return Ok(()),
            _ = due.tick() => live.flush(),
        }
    }
}

/// Reads the live topics, each partition from its end on.
pub(crate) struct Reader {
    live: Arc<Live>,
    subscription: Box<dyn Subscription>,
    /// Where to go on when a partition is assigned again.
    next_offsets: BTreeMap<TopicPartition, u64>,
    health: Component,
    unreadable: Arc<Meter>,
}

impl Reader {
    /// Joins a group of its own, and stands at the end of every partition when this returns.
    ///
    /// # Errors
    /// A log that refuses.
    pub(crate) async fn join(
        live: Arc<Live>,
        runtime: &Runtime,
        unreadable: Arc<Meter>,
    ) -> anyhow::Result<Self> {
        let health = runtime.status.component(names::component::LIVE_PRICES);
        let group = format!("web-{}", live.boot);
        let subscription = runtime
            .log
            .subscribe(&group, &TOPICS)
            .await
            .with_context(|| format!("cannot join the group {group}"))?;
        Ok(Self { live, subscription, next_offsets: BTreeMap::new(), health, unreadable })
    }

    /// Reads until the shutdown.
    pub(crate) async fn run(mut self, runtime: Runtime) -> anyhow::Result<()> {
        loop {
            let next = self.subscription.next(MAX_MESSAGES, Duration::from_millis(MAX_WAIT_MS));
            let taken = tokio::select! {
                () = runtime.shutdown.cancelled() => return Ok(()),
                event = next => match event {
                    Ok(event) => self.take(event).await,
                    Err(error) => Err(error),
                },
            };
            match taken {
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

    async fn take(&mut self, event: Event) -> event_log::Result<()> {
        match event {
            Event::Assigned(partitions) => {
                let start = |partition: TopicPartition| {
                    let start = match self.next_offsets.get(&partition) {
                        Some(next) => StartAt::Offset(*next),
                        // The last heartbeats tell at once which processes there are.
                        None if &*partition.topic == status::TOPIC => StartAt::BeforeEnd(STATUS_HISTORY),
                        None => StartAt::End,
                    };
                    (partition, start)
                };
                let starts: Vec<_> = partitions.into_iter().map(start).collect();
                self.subscription.start(&starts).await?;
                self.health.up("reads the live topics");
            }
            Event::Standby | Event::Revoked(_) => {}
            Event::Messages(messages) => {
                self.health.up("reads the live topics");
                self.read(&messages);
            }
        }
        Ok(())
    }

    fn read(&mut self, messages: &[Message]) {
        let now = Utc::now();
        let mut unreadable = 0;
        // One lock for many messages, and let go before the next are waited for.
        let mut picture = self.live.picture();
        for message in messages {
            let read = match &*message.position.topic_partition.topic {
                status::TOPIC => match status::decode(&message.payload) {
                    Ok(heartbeat) => {
                        let skew = self.live.pipeline().take_heartbeat(heartbeat, now);
                        skew.iter().for_each(say_skew);
                        true
                    }
                    Err(_) => false,
                },
                candle::TOPIC => {
                    candle::decode(&message.payload).map(|bar| picture.apply_candle(&bar)).is_ok()
                }
                _ => tick::decode(&message.payload, now).map(|tick| picture.apply_tick(&tick, now)).is_ok(),
            };
            unreadable += u64::from(!read);
        }
        drop(picture);
        // The consumer makes dead letters of them; here they are only counted.
        self.unreadable.add(unreadable);
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

/// The heartbeats see to it that this is not said too often.
fn say_skew(Skew { service, instance, ahead }: &Skew) {
    tracing::warn!(
        service,
        instance,
        seconds = ahead.num_seconds().abs(),
        "the clock of a process is {} this host's: set the clocks of all machines by NTP",
        if *ahead > TimeDelta::zero() { "ahead of" } else { "behind" }
    );
}
