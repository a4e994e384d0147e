//! The state of the whole pipeline: heartbeats of every process, topics, lag. Shown by `/system` and `/v1/system`. Pure.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use event_log::{DEAD_LETTER_SUFFIX, PartitionLag, TopicInfo, TopicPartition};
use serde::Serialize;
use topics::{
    names::{component, figure},
    status::{ComponentState, ServiceStatus},
    tick,
};

use crate::{
    gap_figures::GapFigures,
    heartbeats::{ClockSkew, Heartbeats, KnownProcess},
    snapshot::PriceSummary,
};

/// Rates are means over so many probes of the log.
const RATE_PROBES: usize = 6;

/// All topics, and the consumer's lag in those of the ticks; or why they could not be read.
pub(crate) type LogState = Result<(Vec<TopicInfo>, Vec<PartitionLag>), String>;

/// The last known state.
#[derive(Default)]
pub(crate) struct Pipeline {
    heartbeats: Heartbeats,
    topics: Vec<TopicInfo>,
    lags: Vec<PartitionLag>,
    /// End offsets of all topics, summed over their partitions, with the time; oldest first.
    ends: VecDeque<(DateTime<Utc>, BTreeMap<String, u64>)>,
    /// Why the last probe of the log failed.
    log_error: Option<String>,
    /// Why no new prices arrive from the log.
    outage: Option<String>,
}

/// The figures of `/system`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SystemFigures {
    pub(crate) at: DateTime<Utc>,
    /// Why the last probe of the log failed; its figures are then old.
    pub(crate) log_error: Option<String>,
    pub(crate) feeds: Vec<ComponentRow>,
    pub(crate) components: Vec<ComponentRow>,
    pub(crate) processes: Vec<ProcessRow>,
    pub(crate) topics: Vec<TopicRow>,
    /// Of the tick topics.
    pub(crate) partitions: Vec<PartitionRow>,
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
    /// `None` where no batch reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<BatchFigures>,
    /// `None` where the live store does not answer.
    pub(crate) gaps: Option<GapFigures>,
    pub(crate) sse_connections: usize,
    pub(crate) symbols: usize,
    pub(crate) prices: PriceSummary,
}

/// The last run of the batch and the next one, and the size of the live store.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BatchFigures {
    /// When the last run ended; `None`: there was none.
    pub(crate) finished: Option<DateTime<Utc>>,
    pub(crate) failed: bool,
    /// Rows that it wrote.
    pub(crate) rows: f64,
    pub(crate) next: Option<DateTime<Utc>>,
    /// Of the live store; 0: not measured yet.
    pub(crate) store_bytes: f64,
    pub(crate) store_growth_bytes_per_day: f64,
}

impl BatchFigures {
    /// From the latest value of each figure, which may be of several processes.
    fn of(greatest: impl Fn(&str) -> Option<f64>) -> Option<Self> {
        let time = |name| {
            let seconds = greatest(name).filter(|seconds| *seconds > 0.0)?;
            DateTime::from_timestamp(seconds as i64, 0)
        };
        let number = |name| greatest(name).unwrap_or(0.0);
        greatest(figure::BATCH_FINISHED)?;
        Some(Self {
            finished: time(figure::BATCH_FINISHED),
            failed: number(figure::BATCH_FAILED) > 0.0,
            rows: number(figure::BATCH_ROWS),
            next: time(figure::BATCH_NEXT),
            store_bytes: number(figure::STORE_BYTES),
            store_growth_bytes_per_day: number(figure::STORE_GROWTH),
        })
    }
}

/// One component of a process.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ComponentRow {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) state: ComponentState,
    pub(crate) detail: String,
    pub(crate) since: DateTime<Utc>,
}

/// One process.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProcessRow {
    pub(crate) service: String,
    pub(crate) instance: String,
    pub(crate) version: String,
    /// By its own clock.
    pub(crate) started_at: DateTime<Utc>,
    /// From its start until its last heartbeat, by its own clock.
    #[serde(skip)]
    pub(crate) uptime: TimeDelta,
    pub(crate) last_seen: DateTime<Utc>,
    /// It has sent no heartbeat for ten seconds.
    pub(crate) silent: bool,
    /// How far its clock is ahead of this host's, negative where it is behind; null where that is tolerated.
    pub(crate) clock_ahead_seconds: Option<i64>,
    pub(crate) figures: BTreeMap<String, f64>,
}

/// One topic.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TopicRow {
    pub(crate) name: String,
    pub(crate) partitions: usize,
    /// Records kept.
    pub(crate) records: u64,
    /// Records published per second.
    pub(crate) per_second: f64,
    /// Records that the consumer has not committed; null for topics without ticks.
    pub(crate) lag: Option<u64>,
}

/// One partition of ticks, and which consumer reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PartitionRow {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The instance that reads it, by the latest heartbeat that names it; null where there is none.
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
    /// Takes a heartbeat, in the order of the log. Returns a wrong clock that is due to be reported.
    #[must_use]
    pub(crate) fn take_heartbeat(
        &mut self,
        heartbeat: ServiceStatus,
        now: DateTime<Utc>,
    ) -> Option<ClockSkew> {
        self.heartbeats.take(heartbeat, now)
    }

    /// Takes the result of a probe of the log.
    pub(crate) fn take_log_state(&mut self, state: LogState, now: DateTime<Utc>) {
        let (topics, lags) = match state {
            Ok(state) => state,
            Err(reason) => {
                self.log_error = Some(reason);
                return;
            }
        };
        let ends = topics
            .iter()
            .map(|topic| (topic.name.clone(), topic.partitions.iter().map(|(_, end)| end).sum()));
        self.ends.push_back((now, ends.collect()));
        if self.ends.len() > RATE_PROBES {
            self.ends.pop_front();
        }
        (self.topics, self.lags, self.log_error) = (topics, lags, None);
    }

    /// Takes the reason why no new prices arrive, `None` where they do. Returns whether that changed.
    pub(crate) fn take_outage(&mut self, outage: Option<String>) -> bool {
        let changed = self.outage.is_some() != outage.is_some();
        self.outage = outage;
        changed
    }

    /// Why no new prices arrive from the log.
    pub(crate) fn outage(&self) -> Option<&str> {
        self.outage.as_deref()
    }

    /// Records per second.
    fn rate(&self, topic: &str) -> f64 {
        let (Some((then, earlier)), Some((now, later))) = (self.ends.front(), self.ends.back()) else {
            return 0.0;
        };
        let seconds = (*now - *then).as_seconds_f64();
        let published = later.get(topic).unwrap_or(&0).saturating_sub(*earlier.get(topic).unwrap_or(&0));
        if seconds > 0.0 { published as f64 / seconds } else { 0.0 }
    }

    fn topic(&self, topic: &TopicInfo) -> TopicRow {
        let lags =
            self.lags.iter().filter(|lag| *lag.topic_partition.topic == *topic.name).map(|lag| lag.lag);
        TopicRow {
            name: topic.name.clone(),
            partitions: topic.partitions.len(),
            records: topic.partitions.iter().map(|(first, end)| end.saturating_sub(*first)).sum(),
            per_second: self.rate(&topic.name),
            lag: lags.reduce(|sum, lag| sum + lag),
        }
    }

    /// Why prices are invented, as the rest of a sentence; `None` where no process reports it.
    pub(crate) fn simulated_because(&self, now: DateTime<Utc>) -> Option<&str> {
        let mut components = self.heartbeats.shown(now).flat_map(|known| &known.status.components);
        let feed = components.find(|part| part.name == component::SIMULATED_FEED)?;
        feed.detail.split_once(component::SIMULATED_BECAUSE).map(|(_, reason)| reason)
    }

    /// What the batch reports of its schedule; `None` where no process runs it.
    pub(crate) fn batch_schedule(&self, now: DateTime<Utc>) -> Option<String> {
        let mut alive = self.heartbeats.shown(now).filter(|known| !known.is_silent(now));
        let batch = |known: &KnownProcess| {
            let batch = known.status.components.iter().find(|part| part.name == component::BATCH)?;
            Some(batch.detail.clone())
        };
        alive.find_map(batch)
    }

    /// All figures, as of `now`; `own` is the status of this process.
    pub(crate) fn system(
        &mut self,
        own: &ServiceStatus,
        prices: PriceSummary,
        live_clients: usize,
        now: DateTime<Utc>,
    ) -> SystemFigures {
        // Our clock does not differ from itself.
        let _ = self.heartbeats.take(own.clone(), now);
        self.heartbeats.drop_old(now);
        let alive = || self.heartbeats.shown(now).filter(|known| !known.is_silent(now));
        let (feeds, components): (Vec<ComponentRow>, Vec<ComponentRow>) = alive()
            .flat_map(|known| components_of(&known.status))
            .partition(|row| row.name.starts_with(component::FEED_PREFIX));
        let sum = |name: &str| alive().flat_map(|known| known.status.figure(name)).sum::<f64>();
        let greatest = |name: &str| alive().flat_map(|known| known.status.figure(name)).reduce(f64::max);
        let slowest = |latency: &str| {
            let all = alive().filter_map(|known| Quantiles::of(&known.status, latency));
            all.max_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms))
        };
        let topics: Vec<TopicRow> = self.topics.iter().map(|topic| self.topic(topic)).collect();
        let ticks =
            |topic: &&TopicRow| [tick::STOCK_PRICES, tick::CRYPTO_PRICES].contains(&topic.name.as_str());
        SystemFigures {
            at: now,
            log_error: self.log_error.clone(),
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
            processes: self.heartbeats.shown(now).map(|known| process_row(known, now)).collect(),
            feeds,
            components,
            topics,
            partitions: self.lags.iter().map(|lag| partition_row(lag, alive())).collect(),
            batch: BatchFigures::of(greatest),
            gaps: None,
            sse_connections: live_clients,
            symbols: prices.live + prices.stale + prices.closed + prices.waiting,
            prices,
        }
    }
}

fn components_of(status: &ServiceStatus) -> impl Iterator<Item = ComponentRow> + '_ {
    status.components.iter().map(|component| ComponentRow {
        service: status.service_of(component).to_owned(),
        name: component.name.clone(),
        state: component.state,
        detail: component.detail.clone(),
        since: component.since,
    })
}

/// While a consumer that was killed still counts as alive, two may name a partition: the latest heartbeat decides.
fn partition_row<'a>(lag: &PartitionLag, alive: impl Iterator<Item = &'a KnownProcess>) -> PartitionRow {
    let TopicPartition { topic, partition } = &lag.topic_partition;
    let reads = |known: &&KnownProcess| {
        let mut read =
            known.status.components.iter().filter_map(|component| component.partitions.get(&**topic));
        read.any(|numbers| numbers.contains(partition))
    };
    let owner = alive.filter(reads).max_by_key(|known| known.sequence);
    PartitionRow {
        topic: topic.to_string(),
        partition: *partition,
        owner: owner.map(|known| known.status.instance.clone()),
        lag: lag.lag,
    }
}

fn process_row(known: &KnownProcess, now: DateTime<Utc>) -> ProcessRow {
    let status = &known.status;
    ProcessRow {
        service: status.service.clone(),
        instance: status.instance.clone(),
        version: status.version.clone(),
        started_at: status.started_at,
        uptime: status.at - status.started_at,
        last_seen: known.last_seen,
        silent: known.is_silent(now),
        clock_ahead_seconds: known.skew().map(|ahead| ahead.num_seconds()),
        figures: status.figures.clone(),
    }
}
