//! The second stage of writing: keeps the states of the owned partitions. It applies stored events, emits their effects, then
//! saves the checkpoint; in an order that any crash may cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use backon::{ConstantBuilder, Retryable};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{CommitHandle, EventLog, EventLogError, TopicPartition};
use live_store::Checkpoint;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint::{Owned, read_state},
    log_view::{LogMismatch, LogView},
    messages::{Command, Reply, StoredBatch},
    metrics::Metrics,
    processor::{OtherPartitions, Processor},
    store_calls::StoreCalls,
};

/// The host's clock was set if it differs by more than this from one that goes on evenly.
const CLOCK_STEP: TimeDelta = TimeDelta::seconds(5);

/// Checkpoints are saved this often, and when a partition is revoked.
const CHECKPOINT_INTERVAL_MS: u64 = 1_000;
/// Between two queries of a log that is unavailable.
const LOG_RETRY: Duration = Duration::from_millis(250);
/// Between two looks for states whose idle time is due.
const IDLE_INTERVAL_MS: u64 = 1_000;
/// The log is queried so long before a state's idle time is due, so that a log that was unavailable until then is noticed.
const IDLE_LOOK_AHEAD_MS: i64 = 5_000;
/// At least so often the ends of the partitions are queried, for `caught_up_at`.
const CAUGHT_UP_INTERVAL_MS: u64 = 10_000;
/// An answer that took longer comes from a log that was unavailable meanwhile.
const SLOW_ANSWER_MS: u64 = 1_000;

type Ends = BTreeMap<TopicPartition, Range<u64>>;

/// Owns the states.
pub(crate) struct Keeper<P: Processor> {
    processor: Arc<P>,
    store: Arc<StoreCalls>,
    log: Arc<dyn EventLog>,
    group: String,
    partitions: BTreeMap<TopicPartition, Owned<P::State>>,
    /// Claimed by another process, and not reported yet.
    fenced: Vec<TopicPartition>,
    saved_at: Instant,
    ends: EndsQuery,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    /// Where its own clock began.
    started: (DateTime<Utc>, Instant),
}

/// The query for the ends of partitions: one at a time, beside the work, as an answer may take seconds.
struct EndsQuery {
    running: JoinSet<Option<Ends>>,
    /// When it was asked: by the keeper's clock, and by the host's.
    asked: (DateTime<Utc>, DateTime<Utc>),
    begun: Instant,
}

impl<P: Processor> Keeper<P> {
    pub(crate) fn new(
        processor: Arc<P>,
        store: Arc<StoreCalls>,
        log: Arc<dyn EventLog>,
        group: String,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Self {
        let (now, begun) = (Utc::now(), Instant::now());
        Self {
            processor,
            store,
            log,
            group,
            partitions: BTreeMap::new(),
            fenced: Vec::new(),
            saved_at: begun,
            ends: EndsQuery { running: JoinSet::new(), asked: (now, now), begun },
            metrics,
            shutdown,
            started: (now, begun),
        }
    }

    /// Executes commands until there are no more.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command<StoredBatch<P::Event>>>,
        replies: mpsc::Sender<Reply>,
    ) -> anyhow::Result<()> {
        let mut idle = tokio::time::interval(Duration::from_millis(IDLE_INTERVAL_MS));
        idle.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let reply = tokio::select! {
                command = commands.recv() => match command {
                    None => return self.save().await,
                    Some(command) => Some(self.execute(command).await?),
                },
                Some(ends) = self.ends.running.join_next() => {
                    // A query that panicked has no answer either.
                    self.take_ends(ends.ok().flatten()).await?;
                    None
                }
                _ = idle.tick() => {
                    self.save().await?;
                    self.query_ends_if_due();
                    None
                }
            };
            let fenced = std::mem::take(&mut self.fenced);
            let fenced = (!fenced.is_empty()).then_some(Reply::Fenced(fenced));
            for reply in fenced.into_iter().chain(reply) {
                if replies.send(reply).await.is_err() {
                    return Ok(());
                }
            }
        }
    }

    async fn execute(&mut self, command: Command<StoredBatch<P::Event>>) -> anyhow::Result<Reply> {
        Ok(match command {
            Command::Assign(partitions) => Reply::Assigned(self.assign(&partitions, None).await?),
            Command::Restart(partition) => {
                // What was applied is saved under the claim that the new one replaces.
                self.save().await?;
                let mismatch = Some(LogMismatch::OffsetsWentBack);
                Reply::Assigned(self.assign(&[partition], mismatch).await?)
            }
            Command::Write(batch) => Reply::Written(self.write(batch).await?),
            Command::Revoke(partitions) => {
                self.save().await?;
                self.partitions.retain(|partition, _| !partitions.contains(partition));
                Reply::Revoked
            }
            Command::Finish => {
                // What another process has claimed is its own: it may have closed what is open here.
                self.save().await?;
                let mut effects = Vec::new();
                for owned in self.partitions.values() {
                    self.processor.finish(&owned.state, &mut effects);
                }
                self.emit(&effects).await?;
                self.save().await?;
                Reply::Finished
            }
        })
    }

    /// Claims partitions and restores their states; where to read on in each. Empty if the shutdown comes before the log has
    /// answered.
    async fn assign(
        &mut self,
        assigned: &[TopicPartition],
        known_mismatch: Option<LogMismatch>,
    ) -> anyhow::Result<Vec<(TopicPartition, Option<u64>)>> {
        let names: Vec<(Arc<str>, i32)> =
            assigned.iter().map(|known| (Arc::clone(&known.topic), known.partition)).collect();
        let claimed = self.store.claim(P::NAME, &names).await?;
        let Some(view) = self.query_log(assigned).await? else { return Ok(Vec::new()) };
        let all = self.store.checkpoints(P::NAME).await?;
        for fewer in view.fewer_partitions(&all) {
            tracing::warn!(topic = fewer.topic, "{fewer}");
        }
        if let Some(committed) = view.unknown_to_store(&claimed) {
            tracing::warn!(
                committed,
                "the group has read this log, and the store has no checkpoint of it: it is another store or an empty one, or \
                 the process was killed in its first second. The log is read from its beginning, and nothing is stored \
                 twice; if another store is meant, change --store (STORE_URL)"
            );
        }
        let mut starts = Vec::with_capacity(assigned.len());
        for (partition, checkpoint) in assigned.iter().zip(&claimed) {
            let mut owned: Owned<P::State> = Owned::restore(checkpoint)?;
            if let Some(mismatch) = known_mismatch.clone().or_else(|| view.mismatch(checkpoint)) {
                let read_up_to = owned.next_offset;
                tracing::warn!(
                    %partition, read_up_to,
                    "this is not the log that was read before: {mismatch}. It is read from its beginning; what is stored \
                     already is not stored again. If another log is meant, change --log (LOG_URL)"
                );
                owned.restart(Utc::now());
            } else if let Some(expired) = view.expired(checkpoint) {
                self.metrics.expired.add(expired);
                tracing::warn!(
                    %partition, expired,
                    "records were removed from the log before they were read: its topic keeps them for too short a time or \
                     in too little space (retention.ms, retention.bytes) for how long this process or its store was unavailable"
                );
            }
            owned.belongs_to(&partition.topic, &view);
            owned.replay_until = view.end_of(checkpoint);
            owned.is_changed |= self.adopt(&mut owned.state, partition, &all, &view)?;
            if let Some(update) = self.store.repeat(|| self.processor.restored(&owned.state)).await? {
                update(&mut owned.state);
                owned.is_changed = true;
            }
            // The previous owner's clock may have been another one.
            self.processor.restart_idle(&mut owned.state, self.now());
            starts.push((partition.clone(), Some(owned.next_offset)));
            self.partitions.insert(partition.clone(), owned);
        }
        self.save().await?;
        for (partition, next_offset) in &mut starts {
            if !self.partitions.contains_key(partition) {
                *next_offset = None;
            }
        }
        Ok(starts)
    }

    fn adopt(
        &self,
        state: &mut P::State,
        partition: &TopicPartition,
        all: &[Checkpoint],
        view: &LogView,
    ) -> anyhow::Result<bool> {
        let partition_count = view.partition_count(&partition.topic);
        if partition_count <= partition.partition {
            return Ok(false); // the log does not know the topic yet
        }
        let number = partition.partition;
        let mut others =
            OtherPartitions { gone: Vec::new(), existing: Vec::new(), partition: number, partition_count };
        for other in all.iter().filter(|known| *known.topic == *partition.topic && known.partition != number)
        {
            let (state, _) = read_state(other)?;
            let is_gone = other.partition >= partition_count;
            if is_gone { &mut others.gone } else { &mut others.existing }.push(state);
        }
        Ok(self.processor.adopt(state, &others))
    }

    /// Queries the log, again and again while it is unavailable. `None` when the shutdown has begun.
    async fn query_log(&self, partitions: &[TopicPartition]) -> anyhow::Result<Option<LogView>> {
        let query = || LogView::query(&*self.log, &self.group, partitions);
        let retries = ConstantBuilder::new().with_delay(LOG_RETRY).without_max_times();
        tokio::select! {
            viewed = query.retry(retries).when(EventLogError::is_transient) => {
                viewed.map(Some).context("cannot query the event log (--log, LOG_URL)")
            }
            () = self.shutdown.cancelled() => Ok(None),
        }
    }

    /// Puts new inputs into effect for the partitions of a batch. What changed is saved before the batch is applied, so that its
    /// events are applied again under the same inputs after a crash.
    async fn refresh(&mut self, batch: &StoredBatch<P::Event>) -> anyhow::Result<()> {
        let mut has_changed = false;
        for (partition, _) in &batch.batch.partitions {
            let Some(owned) = self.partitions.get_mut(partition).filter(|owned| owned.is_beyond_replay())
            else {
                continue;
            };
            if let Some(update) = self.store.repeat(|| self.processor.refresh(&owned.state)).await? {
                update(&mut owned.state);
                (owned.is_changed, has_changed) = (true, true);
            }
        }
        if has_changed { self.save().await } else { Ok(()) }
    }

    /// Applies a batch, and emits what follows from it; its handles may be spent afterwards.
    async fn write(&mut self, stored: StoredBatch<P::Event>) -> anyhow::Result<Vec<CommitHandle>> {
        self.follow_clock(Utc::now());
        self.refresh(&stored).await?;
        let effects = self.apply(&stored);
        for (partition, handle) in &stored.batch.partitions {
            if let Some(owned) = self.partitions.get_mut(partition) {
                owned.move_to(handle.position().offset + 1);
            }
        }
        self.emit(&effects).await?;
        if self.saved_at.elapsed() >= Duration::from_millis(CHECKPOINT_INTERVAL_MS) {
            self.save().await?;
        }
        Ok(stored.batch.partitions.into_iter().map(|(_, handle)| handle).collect())
    }

    fn apply(&mut self, StoredBatch { batch, verdicts }: &StoredBatch<P::Event>) -> Vec<P::Effect> {
        let (now, mut effects, mut applied) = (self.now(), Vec::new(), 0);
        let mut of_batch: Vec<Option<&mut Owned<P::State>>> = batch.partitions.iter().map(|_| None).collect();
        for (partition, owned) in &mut self.partitions {
            let place = batch.partitions.iter().position(|(known, _)| known == partition);
            if let Some(slot) = place.and_then(|place| of_batch.get_mut(place)) {
                *slot = Some(owned);
            }
        }
        for ((event, verdict), place) in batch.events.iter().zip(verdicts).zip(&batch.places) {
            let Some(Some(owned)) = of_batch.get_mut(place.partition) else { continue };
            if owned.applies(place.offset, *verdict) {
                self.processor.apply(&mut owned.state, event, now, &mut effects);
                applied += 1;
            }
            owned.move_to(place.offset + 1);
        }
        self.metrics.applied.add(applied);
        effects
    }

    async fn emit(&self, effects: &[P::Effect]) -> anyhow::Result<()> {
        if effects.is_empty() {
            return Ok(());
        }
        self.store.repeat(|| self.processor.emit(effects)).await
    }

    /// Takes over a step of the host's clock. What was idle before is not idle for the length of the step: the timers begin again.
    fn follow_clock(&mut self, host: DateTime<Utc>) {
        let step = host - self.now();
        if step.abs() < CLOCK_STEP {
            return;
        }
        tracing::warn!(seconds = step.num_seconds(), "the clock of this host was set");
        self.started = (host, Instant::now());
        self.ends.asked = (host, host);
        for owned in self.partitions.values_mut() {
            self.processor.restart_idle(&mut owned.state, host);
        }
    }

    /// The time, by a clock that goes on evenly between steps of the host's clock.
    fn now(&self) -> DateTime<Utc> {
        let (started_at, started) = self.started;
        started_at + started.elapsed()
    }

    fn query_ends_if_due(&mut self) {
        self.follow_clock(Utc::now());
        if !self.ends.running.is_empty() || self.partitions.is_empty() {
            return;
        }
        let now = self.now();
        let soon = now + TimeDelta::milliseconds(IDLE_LOOK_AHEAD_MS);
        let is_due = |owned: &Owned<P::State>| self.processor.is_idle_due(&owned.state, soon);
        if self.ends.begun.elapsed() < Duration::from_millis(CAUGHT_UP_INTERVAL_MS)
            && !self.partitions.values().any(is_due)
        {
            return;
        }
        let topics: BTreeSet<Arc<str>> =
            self.partitions.keys().map(|partition| Arc::clone(&partition.topic)).collect();
        self.ends.asked = (now, Utc::now());
        self.ends.begun = Instant::now();
        self.ends.running.spawn(query_ends(Arc::clone(&self.log), topics));
    }

    /// Lets time pass for the partitions that were read up to where they ended at the query. Where more waits in the log, after a
    /// crash or while the store was unavailable, no time has passed: what follows from it would miss what waits.
    async fn take_ends(&mut self, ends: Option<Ends>) -> anyhow::Result<()> {
        let now = self.now();
        let Some(ends) = ends else {
            // Records could not come: what a producer has kept meanwhile is not late.
            for owned in self.partitions.values_mut() {
                self.processor.restart_idle(&mut owned.state, now);
            }
            return Ok(());
        };
        let (asked, asked_at) = self.ends.asked;
        let mut effects = Vec::new();
        for (partition, owned) in &mut self.partitions {
            let Some(end) = ends.get(partition).map(|range| range.end) else { continue };
            if !owned.is_caught_up(end, asked_at) {
                continue;
            }
            let before = effects.len();
            self.processor.idle(&mut owned.state, asked, &mut effects);
            owned.is_changed |= effects.len() > before;
        }
        self.emit(&effects).await?;
        self.save().await
    }

    /// Saves the states that have changed. What another process has claimed meanwhile is given up.
    async fn save(&mut self) -> anyhow::Result<()> {
        let mut checkpoints = Vec::new();
        let mut owners = Vec::new();
        for (partition, owned) in &mut self.partitions {
            if std::mem::take(&mut owned.is_changed) {
                checkpoints.push(owned.checkpoint(P::NAME, partition)?);
                owners.push(partition.clone());
            }
        }
        self.saved_at = Instant::now();
        if checkpoints.is_empty() {
            return Ok(());
        }
        for refused in self.store.save(&checkpoints).await? {
            let Some(partition) = owners.get(refused) else { continue };
            tracing::warn!(
                %partition, processor = P::NAME,
                "another process has claimed the checkpoint of this partition. Either this process stood still and lost the \
                 partition, or another consumer group writes into the same store (--consumer-group, CONSUMER_GROUP)"
            );
            self.partitions.remove(partition);
            self.fenced.push(partition.clone());
        }
        Ok(())
    }
}

/// Where the partitions of these topics end; `None` where the log does not answer in time.
async fn query_ends(log: Arc<dyn EventLog>, topics: BTreeSet<Arc<str>>) -> Option<Ends> {
    let topics: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
    let limit = Duration::from_millis(SLOW_ANSWER_MS);
    match tokio::time::timeout(limit, log.bounds(&topics)).await {
        Ok(Ok(ends)) => Some(ends),
        Ok(Err(error)) => {
            tracing::debug!(%error, "cannot query where the partitions end");
            None
        }
        Err(_) => None,
    }
}
