//! Reads the live topics into the live view, each partition from its end on.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use event_log::{Message, StartAt, TopicPartition};
use market::{Candle, Tick};
use service_runtime::{Meter, Runtime};
use stream_processor::{Follow, Follower};
use topics::{
    alert::{self, AlertRecord},
    candle, names, quoted_candle,
    status::{self, ServiceStatus},
    tick,
};

use crate::{alert_notice::AlertNotice, heartbeats::ClockSkew, live::Live, updates::Change};

/// Of each partition of heartbeats, so many of the last records are read at the start.
const STATUS_HISTORY: u64 = 64;

/// The topics that are read.
pub(crate) const TOPICS: [&str; 6] = [
    tick::STOCK_PRICES,
    tick::CRYPTO_PRICES,
    candle::TOPIC,
    quoted_candle::TOPIC,
    alert::TOPIC,
    status::TOPIC,
];

/// Joins a group of its own. When this returns, reading begins at the end of every partition.
///
/// # Errors
/// The log refuses the subscription.
pub(crate) async fn join(runtime: &Runtime, boot: &str) -> anyhow::Result<Follow> {
    let health = runtime.status.component(names::component::LIVE_PRICES);
    Follow::join(&*runtime.log, &format!("web-{boot}"), &TOPICS, health).await
}

/// Applies records to the live view. It has no checkpoint: at the start the live view is loaded from the store.
pub(crate) struct LiveReader {
    live: Arc<Live>,
    unreadable: Arc<Meter>,
}

/// One record of a live topic.
enum Record {
    Tick(Tick),
    Candle(Candle),
    Alert(AlertRecord),
    Heartbeat(ServiceStatus),
}

impl LiveReader {
    pub(crate) fn new(live: Arc<Live>, unreadable: Arc<Meter>) -> Self {
        Self { live, unreadable }
    }
}

impl Follower for LiveReader {
    fn start_at(&self, partition: &TopicPartition) -> StartAt {
        match &*partition.topic {
            // The last heartbeats show at once which processes there are.
            status::TOPIC => StartAt::BeforeEnd(STATUS_HISTORY),
            _ => StartAt::End,
        }
    }

    fn take(&mut self, messages: &[Message]) {
        let now = Utc::now();
        // Decoded first: requests wait for the lock of the quotes.
        let records: Vec<Record> = messages.iter().filter_map(|message| decode(message, now)).collect();
        // The consumer publishes dead letters; here unreadable records are only counted.
        self.unreadable.add((messages.len() - records.len()) as u64);

        let (mut heartbeats, mut notices) = (Vec::new(), Vec::new());
        let mut quotes = self.live.quotes();
        for record in records {
            match record {
                Record::Tick(tick) => quotes.apply_tick(&tick, now),
                Record::Candle(candle) => quotes.apply_candle(&candle, now),
                Record::Alert(alert) => notices.extend(AlertNotice::of(alert, now).map(Change::Alert)),
                Record::Heartbeat(heartbeat) => heartbeats.push(heartbeat),
            }
        }
        drop(quotes);
        self.live.publish(&notices);
        for heartbeat in heartbeats {
            let skew = self.live.pipeline().take_heartbeat(heartbeat, now);
            skew.iter().for_each(warn_of_skew);
        }
    }
}

/// `None` where the record cannot be read.
fn decode(message: &Message, now: DateTime<Utc>) -> Option<Record> {
    match &*message.position.topic_partition.topic {
        status::TOPIC => status::decode(&message.payload).ok().map(Record::Heartbeat),
        alert::TOPIC => alert::decode(&message.payload).ok().map(Record::Alert),
        candle::TOPIC | quoted_candle::TOPIC => candle::decode(&message.payload).ok().map(Record::Candle),
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
