//! How the whole pipeline is doing: heartbeats of every process, topics, lag. Read by `/system` and `/v1/system`.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use event_log::{DEAD_LETTER_SUFFIX, PartitionLag, TopicInfo, TopicPartition};
use serde::Serialize;
use topics::{
    names::{component, figure},
    status::{ComponentState, ServiceStatus},
    tick,
};

use crate::heartbeats::{Heard, Heartbeats, Skew};

/// Rates are taken over about so many looks.
const RATE_LOOKS: usize = 6;

/// Topics, and how far the consumer is in those of the ticks; or why the log could not be asked.
pub(crate) type Look = Result<(Vec<TopicInfo>, Vec<PartitionLag>), String>;

/// The pipeline as last seen.
#[derive(Default)]
pub(crate) struct Pipeline {
    heartbeats: Heartbeats,
    topics: Vec<TopicInfo>,
    lags: Vec<PartitionLag>,
    /// When, and the ends of all topics then; oldest first.
    ends: VecDeque<(DateTime<Utc>, BTreeMap<String, u64>)>,
    /// Why the log could not be looked at; none while it can.
    trouble: Option<String>,
}

/// The figures of the system page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct System {
    pub(crate) at: DateTime<Utc>,
    /// Why the log could not be asked; its figures are then old.
    pub(crate) trouble: Option<String>,
    pub(crate) feeds: Vec<Part>,
    pub(crate) parts: Vec<Part>,
    pub(crate) processes: Vec<Process>,
    pub(crate) topics: Vec<Topic>,
    /// Those of the tick topics.
    pub(crate) partitions: Vec<Assignment>,
    /// Published to the tick topics, per second.
    pub(crate) ticks_per_second: f64,
    /// Stored for the first time, per second.
    pub(crate) stored_per_second: f64,
    pub(crate) stored_total: f64,
    pub(crate) candles_closed_total: f64,
    /// Records of the tick topics that the consumer has not committed.
    pub(crate) lag: u64,
    /// Records in all dead-letter topics.
    pub(crate) dead_letters: u64,
    pub(crate) feed_stored: Option<Quantiles>,
    pub(crate) feed_screen: Option<Quantiles>,
    pub(crate) sse_connections: usize,
    pub(crate) symbols: usize,
}

/// One part of a process.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) state: ComponentState,
    pub(crate) detail: String,
    pub(crate) since: DateTime<Utc>,
}

/// One process.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) version: String,
    /// By its own clock.
    pub(crate) started_at: DateTime<Utc>,
    /// How long it had been running when it was last heard of, by one clock.
    #[serde(skip)]
    pub(crate) had_run: TimeDelta,
    pub(crate) last_heard: DateTime<Utc>,
    /// It has said nothing for ten seconds.
    pub(crate) silent: bool,
    /// How far its clock is ahead of this host's, negative where it is behind; none while that is nothing to speak of.
    pub(crate) clock_ahead_seconds: Option<i64>,
    pub(crate) figures: BTreeMap<String, f64>,
}

/// One topic.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) partitions: usize,
    /// Records kept.
    pub(crate) records: u64,
    /// Records published per second.
    pub(crate) per_second: f64,
    /// Records that the consumer has not committed; none for topics it does not count.
    pub(crate) lag: Option<u64>,
}

/// One partition, and who reads it for the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Assignment {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The instance of the consumer that said last that it reads it; none if nobody does.
    pub(crate) owner: Option<String>,
    /// Records that the consumer has not committed.
    pub(crate) lag: u64,
}

/// Of the last minute, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) count: f64,
}

impl Quantiles {
    fn of(status: &ServiceStatus, latency: &str) -> Option<Self> {
        let figure = |name: String| status.figure(&name).reduce(f64::max);
        Some(Self {
            p50_ms: figure(figure::quantile_ms(latency, "p50"))?,
            p99_ms: figure(figure::quantile_ms(latency, "p99"))?,
            count: figure(figure::count(latency)).unwrap_or(0.0),
        })
    }
}

impl Pipeline {
    /// What a process said of itself, in the order of the log; the answer is a wrong clock, to be said aloud.
    #[must_use]
    pub(crate) fn take_heartbeat(&mut self, heartbeat: ServiceStatus, now: DateTime<Utc>) -> Option<Skew> {
        self.heartbeats.take(heartbeat, now)
    }

    /// Takes what the log said of its topics and of the consumer's lag, or why it said nothing.
    pub(crate) fn take_look(&mut self, look: Look, now: DateTime<Utc>) {
        let (topics, lags) = match look {
            Ok(seen) => seen,
            Err(reason) => {
                self.trouble = Some(reason);
                return;
            }
        };
        let ends = topics
            .iter()
            .map(|topic| (topic.name.clone(), topic.partitions.iter().map(|(_, end)| end).sum()));
        self.ends.push_back((now, ends.collect()));
        if self.ends.len() > RATE_LOOKS {
            self.ends.pop_front();
        }
        (self.topics, self.lags, self.trouble) = (topics, lags, None);
    }

    fn rate(&self, topic: &str) -> f64 {
        let (Some((then, earlier)), Some((now, later))) = (self.ends.front(), self.ends.back()) else {
            return 0.0;
        };
        let seconds = (*now - *then).as_seconds_f64();
        let published = later.get(topic).unwrap_or(&0).saturating_sub(*earlier.get(topic).unwrap_or(&0));
        if seconds > 0.0 { published as f64 / seconds } else { 0.0 }
    }

    fn topic(&self, topic: &TopicInfo) -> Topic {
        let lags =
            self.lags.iter().filter(|lag| *lag.topic_partition.topic == *topic.name).map(|lag| lag.lag);
        Topic {
            name: topic.name.clone(),
            partitions: topic.partitions.len(),
            records: topic.partitions.iter().map(|(first, end)| end.saturating_sub(*first)).sum(),
            per_second: self.rate(&topic.name),
            lag: lags.reduce(|sum, lag| sum + lag),
        }
    }

    /// Everything for the page, as of `now`; `own` are the figures of this very process.
    pub(crate) fn system(
        &mut self,
        own: &ServiceStatus,
        symbols: usize,
        sse: usize,
        now: DateTime<Utc>,
    ) -> System {
        // Nobody need be told of a clock that is ours.
        let _ = self.heartbeats.take(own.clone(), now);
        self.heartbeats.forget_old(now);
        let talking = || self.heartbeats.shown(now).filter(|known| !known.is_silent(now));
        let (feeds, parts): (Vec<Part>, Vec<Part>) = talking()
            .flat_map(|known| parts_of(&known.said))
            .partition(|part| part.name.starts_with(component::FEED_PREFIX));
        let sum = |name: &str| talking().flat_map(|known| known.said.figure(name)).sum::<f64>();
        let slowest = |latency: &str| {
            let all = talking().filter_map(|known| Quantiles::of(&known.said, latency));
            all.max_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms))
        };
        let topics: Vec<Topic> = self.topics.iter().map(|topic| self.topic(topic)).collect();
        let ticks = |topic: &&Topic| [tick::STOCK_PRICES, tick::CRYPTO_PRICES].contains(&topic.name.as_str());
        System {
            at: now,
            trouble: self.trouble.clone(),
            ticks_per_second: topics.iter().filter(ticks).map(|topic| topic.per_second).sum(),
            stored_per_second: sum(&figure::per_second(figure::TICKS_STORED)),
            stored_total: sum(figure::TICKS_STORED),
            candles_closed_total: sum(figure::CANDLES_CLOSED),
            lag: topics.iter().filter(ticks).filter_map(|topic| topic.lag).sum(),
            dead_letters: topics
                .iter()
                .filter(|topic| topic.name.ends_with(DEAD_LETTER_SUFFIX))
                .map(|topic| topic.records)
                .sum(),
            feed_stored: slowest(figure::FEED_STORED),
            feed_screen: slowest(figure::FEED_SCREEN),
            processes: self.heartbeats.shown(now).map(|known| process(known, now)).collect(),
            feeds,
            parts,
            topics,
            partitions: self.lags.iter().map(|lag| assignment(lag, talking())).collect(),
            sse_connections: sse,
            symbols,
        }
    }
}

fn parts_of(status: &ServiceStatus) -> impl Iterator<Item = Part> + '_ {
    status.components.iter().map(|component| Part {
        service: status.service_of(component).to_owned(),
        name: component.name.clone(),
        state: component.state,
        detail: component.detail.clone(),
        since: component.since,
    })
}

/// For as long as one that was killed counts as talking, two may say that they read a partition.
fn assignment<'a>(lag: &PartitionLag, talking: impl Iterator<Item = &'a Heard>) -> Assignment {
    let TopicPartition { topic, partition } = &lag.topic_partition;
    let reads = |known: &&Heard| {
        let mut read = known.said.components.iter().filter_map(|part| part.partitions.get(&**topic));
        read.any(|numbers| numbers.contains(partition))
    };
    let owner = talking.filter(reads).max_by_key(|known| known.turn);
    Assignment {
        topic: topic.to_string(),
        partition: *partition,
        owner: owner.map(|known| known.said.instance.clone()),
        lag: lag.lag,
    }
}

fn process(known: &Heard, now: DateTime<Utc>) -> Process {
    let said = &known.said;
    Process {
        service: said.service.clone(),
        instance: said.instance.clone(),
        version: said.version.clone(),
        started_at: said.started_at,
        had_run: said.at - said.started_at,
        last_heard: known.at,
        silent: known.is_silent(now),
        clock_ahead_seconds: known.skew().map(|ahead| ahead.num_seconds()),
        figures: said.figures.clone(),
    }
}
