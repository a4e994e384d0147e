//! Writes batches: dead letters, ticks, candles, checkpoint; in an order that any crash may cut.
//!
//! A crash after any step is repaired by reading again from the checkpoint: ticks are recognised by their identity,
//! bars are replaced by the same bars, dead letters and published bars may be said twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{
    CommitHandle, EventLog, NewRecord, PartitionLag, Publisher, Receipt, StartAt, TopicPartition,
};
use live_store::{Checkpoint, LiveStore, LiveStoreError, TickOutcome};
use market::{Applied, Candle, Interval};
use service_runtime::{Component, Runtime};
use tokio_util::sync::CancellationToken;

use crate::{
    batcher::Batch,
    metrics::Metrics,
    state::{Another, LogView, PROCESSOR, Partition, fewer_partitions},
};

/// Checkpoints are written this often, and when a partition is given up.
const CHECKPOINT_INTERVAL_MS: u64 = 1_000;
/// A store that nothing was written to for so long is asked whether it is there.
const IDLE_QUESTION_MS: u64 = 5_000;
/// Clocks that differ by more are worth a word, at most so often.
const MAX_SKEW_SECONDS: i64 = 30;
const SKEW_SAID_SECONDS: u64 = 600;
/// Between two looks at a log that is away.
const LOOK_AGAIN_MS: u64 = 250;
/// Between tries while the store is away; doubled up to the maximum.
const RETRY_MIN_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 5_000;
const RETRY_DRAINING_MS: u64 = 500;
/// A store that is away is tried for so long after the shutdown has begun; less than the process has for its end.
const DRAIN_SECONDS: u64 = 12;

/// The offset that the next record of a partition gets.
pub(crate) type Ends = BTreeMap<TopicPartition, u64>;

/// Owns what is between the log and the store.
pub(crate) struct Writer {
    store: Arc<dyn LiveStore>,
    log: Arc<dyn EventLog>,
    group: String,
    publisher: Arc<dyn Publisher>,
    partitions: BTreeMap<TopicPartition, Partition>,
    checkpointed: tokio::time::Instant,
    /// When the store was last asked for anything.
    asked: tokio::time::Instant,
    metrics: Arc<Metrics>,
    health: Component,
    shutdown: CancellationToken,
    drain_until: OnceLock<tokio::time::Instant>,
    /// Where its own clock began.
    started: (DateTime<Utc>, tokio::time::Instant),
    /// When clocks were last said to differ.
    skew_said: Option<tokio::time::Instant>,
}

impl Writer {
    pub(crate) fn new(
        runtime: &Runtime,
        store: Arc<dyn LiveStore>,
        group: &str,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            store,
            log: Arc::clone(&runtime.log),
            group: group.to_owned(),
            publisher: runtime.log.publisher().context("cannot publish candles")?,
            partitions: BTreeMap::new(),
            checkpointed: tokio::time::Instant::now(),
            asked: tokio::time::Instant::now(),
            metrics,
            health: runtime.status.component("live store"),
            shutdown: runtime.shutdown.clone(),
            drain_until: OnceLock::new(),
            started: (Utc::now(), tokio::time::Instant::now()),
            skew_said: None,
        })
    }

    /// Takes partitions over: restores the state of each from its checkpoint, and says where to read on. Nowhere, if the
    /// shutdown comes before the log has told.
    pub(crate) async fn assign(
        &mut self,
        assigned: &[TopicPartition],
    ) -> anyhow::Result<Vec<(TopicPartition, StartAt)>> {
        let store = Arc::clone(&self.store);
        let checkpoints = self.persist(|| store.checkpoints(PROCESSOR)).await?;
        let Some(view) = self.look_at_log(assigned).await? else { return Ok(Vec::new()) };
        for fewer in fewer_partitions(&checkpoints, &view) {
            tracing::warn!(topic = fewer.topic, "{fewer}");
        }
        let mut resets = Vec::new();
        for partition in assigned {
            let of_it = |known: &&Checkpoint| {
                *known.topic == *partition.topic && known.partition == partition.partition
            };
            let mut state = Partition::restore(checkpoints.iter().find(of_it), &view)?;
            if let Some(reason) = state.another_log(partition, &view) {
                resets.push(begin_anew(partition, &mut state, &view, &reason)?);
            }
            state.is_of(&view);
            // Whoever saw its ticks before may have had another clock.
            state.builder.see_all(self.now());
            self.partitions.insert(partition.clone(), state);
        }
        self.persist(|| store.reset_checkpoints(&resets)).await?;
        let start =
            |partition: &TopicPartition| Some((partition.clone(), self.partitions.get(partition)?.start()));
        Ok(assigned.iter().filter_map(start).collect())
    }

    /// The offsets of a partition began again while it was read: it is another log, whatever it says. What was counted
    /// stays counted, and it is read from its beginning.
    pub(crate) async fn begin_anew(
        &mut self,
        partition: TopicPartition,
    ) -> anyhow::Result<Vec<(TopicPartition, StartAt)>> {
        let Some(view) = self.look_at_log(std::slice::from_ref(&partition)).await? else {
            return Ok(Vec::new());
        };
        let Some(state) = self.partitions.get_mut(&partition) else { return Ok(Vec::new()) };
        let reset = begin_anew(&partition, state, &view, &Another::WentBack)?;
        let store = Arc::clone(&self.store);
        self.persist(|| store.reset_checkpoints(std::slice::from_ref(&reset))).await?;
        Ok(vec![(partition, StartAt::Beginning)])
    }

    /// Asks the log who it is and how far it goes, again and again while it is away. `None` when the shutdown has begun.
    async fn look_at_log(&self, partitions: &[TopicPartition]) -> anyhow::Result<Option<LogView>> {
        let topics: BTreeSet<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
        let topics: Vec<&str> = topics.into_iter().collect();
        loop {
            let look = async {
                let identity = self.log.identity().await?;
                let lags = self.log.lag(&self.group, &topics).await?;
                let by_place = |lag: PartitionLag| (lag.topic_partition.clone(), lag);
                Ok(LogView { identity, partitions: lags.into_iter().map(by_place).collect() })
            };
            let looked: event_log::Result<LogView> = tokio::select! {
                looked = look => looked,
                () = self.shutdown.cancelled() => return Ok(None),
            };
            match looked {
                Ok(view) => return Ok(Some(view)),
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, "cannot tell yet whether the log is the one that was read before");
                    tokio::time::sleep(Duration::from_millis(LOOK_AGAIN_MS)).await;
                }
                Err(error) => return Err(error).context("cannot look at the event log (--log, LOG_URL)"),
            }
        }
    }

    /// Gives partitions up, their state saved.
    pub(crate) async fn revoke(&mut self, revoked: &[TopicPartition]) -> anyhow::Result<()> {
        self.save(&[]).await?;
        self.partitions.retain(|partition, _| !revoked.contains(partition));
        Ok(())
    }

    /// Writes a batch; its handles may be spent afterwards.
    pub(crate) async fn write(&mut self, mut batch: Batch) -> anyhow::Result<Vec<CommitHandle>> {
        self.publish_dead_letters(std::mem::take(&mut batch.dead_letters)).await?;
        let outcomes = if batch.ticks.is_empty() {
            Vec::new()
        } else {
            let (store, ticks) = (Arc::clone(&self.store), &batch.ticks);
            self.persist(|| store.write_ticks(ticks)).await?
        };
        self.measure(&batch, &outcomes);
        let mut candles = self.apply(&batch, &outcomes);
        for (partition, handle) in &batch.partitions {
            if let Some(state) = self.partitions.get_mut(partition) {
                state.move_to(handle.position().offset + 1);
            }
        }
        self.metrics.provider_candles.add(batch.provider_candles.len() as u64);
        self.publish_candles(&candles).await?;
        candles.append(&mut batch.provider_candles);
        if self.checkpointed.elapsed() >= Duration::from_millis(CHECKPOINT_INTERVAL_MS) {
            self.save(&candles).await?;
        } else if !candles.is_empty() {
            let store = Arc::clone(&self.store);
            self.persist(|| store.write_progress(&candles, &[])).await?;
        }
        Ok(batch.partitions.into_iter().map(|(_, handle)| handle).collect())
    }

    /// Saves the state of the partitions that moved. Where none has, the store is asked all the same now and then, so that
    /// a process whose store is away is not taken for ready on a quiet night.
    pub(crate) async fn checkpoint(&mut self) -> anyhow::Result<()> {
        self.save(&[]).await?;
        if self.asked.elapsed() >= Duration::from_millis(IDLE_QUESTION_MS) {
            let store = Arc::clone(&self.store);
            self.persist(|| store.checkpoints(PROCESSOR)).await?;
            self.asked = tokio::time::Instant::now();
        }
        Ok(())
    }

    /// The time, from a clock that nobody sets: a step of the host's clock is no silence of a symbol.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        let (started_at, started) = self.started;
        started_at + started.elapsed()
    }

    /// Nobody is quiet because of the time before now.
    pub(crate) fn nobody_is_quiet(&mut self) {
        let now = self.now();
        for state in self.partitions.values_mut() {
            state.builder.see_all(now);
        }
    }

    /// The partitions with bars of symbols that seem to have gone quiet.
    pub(crate) fn quiet(&self, now: DateTime<Utc>) -> Vec<TopicPartition> {
        let due = self.partitions.iter().filter(|(_, state)| state.builder.is_due(now));
        due.map(|(partition, _)| partition.clone()).collect()
    }

    /// Closes the bars of symbols that have gone quiet, of the partitions that were read up to where they ended at
    /// `now`. Where more waits in the log, after a crash or while the store was away, nobody is quiet: a bar that was
    /// closed there would miss what belongs in it.
    pub(crate) async fn advance(&mut self, now: DateTime<Utc>, ends: &Ends) -> anyhow::Result<()> {
        let mut closed = Vec::new();
        for (partition, state) in &mut self.partitions {
            if ends.get(partition).is_none_or(|end| state.next_offset < *end) {
                continue;
            }
            let before = closed.len();
            state.builder.advance(now, &mut closed);
            state.is_changed |= closed.len() > before;
        }
        self.metrics.candles_closed.add(closed.len() as u64);
        self.publish_candles(&closed).await?;
        self.save(&closed).await
    }

    /// At the end: the bars in progress are stored as not final, so that charts show them.
    pub(crate) async fn finish(&mut self) -> anyhow::Result<()> {
        let open: Vec<Candle> =
            self.partitions.values().flat_map(|state| state.builder.open_candles()).collect();
        self.save(&open).await
    }

    fn measure(&mut self, batch: &Batch, outcomes: &[TickOutcome]) {
        let (mut new, mut redelivered, mut duplicate) = (0, 0, 0);
        for outcome in outcomes {
            match outcome {
                TickOutcome::New => new += 1,
                TickOutcome::Redelivered(_) => redelivered += 1,
                TickOutcome::Duplicate => duplicate += 1,
            }
        }
        self.metrics.stored.add(new);
        self.metrics.redelivered.add(redelivered);
        self.metrics.duplicates.add(duplicate);
        let now = Utc::now();
        let ahead = batch.ticks.iter().map(|stored| stored.tick.received_at - now).max();
        if let Some(ahead) = ahead.filter(|ahead| *ahead > TimeDelta::seconds(MAX_SKEW_SECONDS)) {
            self.say_skew(ahead);
        }
        self.metrics.feed_stored.record_live(batch.ticks.iter().map(|stored| now - stored.tick.received_at));
    }

    /// Said now and then: every batch has it.
    fn say_skew(&mut self, ahead: TimeDelta) {
        let often = Duration::from_secs(SKEW_SAID_SECONDS);
        if self.skew_said.is_none_or(|said| said.elapsed() >= often) {
            self.skew_said = Some(tokio::time::Instant::now());
            tracing::warn!(
                seconds = ahead.num_seconds(),
                "the clock of a producer is ahead of this host's: set one of them (NTP). Ticks of more than {} s ahead go to \
                 the dead letters",
                topics::tick::MAX_AHEAD_SECONDS
            );
        }
    }

    /// Counts ticks in their bars; those that the producer said twice only once. Returns the bars that closed.
    fn apply(&mut self, batch: &Batch, outcomes: &[TickOutcome]) -> Vec<Candle> {
        let (now, mut closed) = (self.now(), Vec::new());
        let mut late = 0;
        for (origin, (partition, _)) in batch.partitions.iter().enumerate() {
            let Some(state) = self.partitions.get_mut(partition) else { continue };
            for ((stored, outcome), of) in batch.ticks.iter().zip(outcomes).zip(&batch.origins) {
                if usize::from(*of) == origin && state.counts(stored, *outcome) {
                    let applied = state.builder.apply(&stored.tick, now, &mut closed);
                    late += u64::from(applied == Applied::Late);
                }
            }
        }
        self.metrics.late.add(late);
        self.metrics.candles_closed.add(closed.len() as u64);
        closed
    }

    /// Bars, then checkpoints of the partitions that moved.
    async fn save(&mut self, candles: &[Candle]) -> anyhow::Result<()> {
        let mut checkpoints = Vec::new();
        for (partition, state) in &mut self.partitions {
            if std::mem::take(&mut state.is_changed) {
                checkpoints.push(state.checkpoint(partition)?);
            }
        }
        self.checkpointed = tokio::time::Instant::now();
        if candles.is_empty() && checkpoints.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        self.persist(|| store.write_progress(candles, &checkpoints)).await?;
        self.asked = tokio::time::Instant::now();
        Ok(())
    }

    async fn publish_dead_letters(&self, letters: Vec<(String, NewRecord)>) -> anyhow::Result<()> {
        self.metrics.dead_letters.add(letters.len() as u64);
        let mut by_topic: BTreeMap<String, Vec<NewRecord>> = BTreeMap::new();
        for (topic, record) in letters {
            by_topic.entry(topic).or_default().push(record);
        }
        for (topic, records) in by_topic {
            let reason = records.first().and_then(|record| {
                record.headers.iter().find(|(name, _)| name == "reason").map(|(_, value)| value)
            });
            tracing::warn!(
                topic,
                count = records.len(),
                first_reason = %String::from_utf8_lossy(reason.map_or(b"", |reason| reason)),
                "messages that could not be read went to the dead letters"
            );
            self.publish(&topic, records).await?;
        }
        Ok(())
    }

    /// One-minute bars go to their topic; wider ones can be derived from them.
    async fn publish_candles(&self, closed: &[Candle]) -> anyhow::Result<()> {
        let minutes = closed.iter().filter(|candle| candle.interval == Interval::Minute);
        let records: Vec<NewRecord> = minutes
            .map(|candle| NewRecord {
                key: Some(Bytes::copy_from_slice(candle.symbol.as_str().as_bytes())),
                payload: Bytes::from(topics::candle::encode(candle)),
                headers: Vec::new(),
                timestamp: Utc::now(),
            })
            .collect();
        if records.is_empty() { Ok(()) } else { self.publish(topics::candle::TOPIC, records).await }
    }

    /// The log came with the message, so waiting for it is no new dependency; it gives up only for good.
    async fn publish(&self, topic: &str, records: Vec<NewRecord>) -> anyhow::Result<()> {
        let receipt: Receipt =
            self.publisher.send(topic, records).await.with_context(|| format!("topic {topic}"))?;
        receipt.durable().await.with_context(|| format!("topic {topic}"))?;
        Ok(())
    }

    /// Repeats `call` while the store is away: until it is back or, once the shutdown has begun, for [`DRAIN_SECONDS`]. What
    /// was not stored then was not committed, and is delivered again.
    async fn persist<T, F>(&self, mut call: impl FnMut() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, LiveStoreError>>,
    {
        let mut wait = Duration::from_millis(RETRY_MIN_MS);
        let mut last = None;
        let over = self.drain_is_over();
        tokio::pin!(over);
        loop {
            let tried = tokio::select! {
                tried = call() => tried,
                () = &mut over => return Err(still_away(last)),
            };
            let error = match tried {
                Ok(value) => {
                    self.health.up("answers");
                    return Ok(value);
                }
                Err(error) => error,
            };
            self.health.down(&error.to_string());
            if !error.is_transient() {
                return Err(error).context("the live store failed (--store, STORE_URL)");
            }
            last = Some(error);
            self.metrics.store_retries.add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = &mut over => return Err(still_away(last)),
            }
            // Somebody waits for the end.
            let longest = if self.shutdown.is_cancelled() { RETRY_DRAINING_MS } else { RETRY_MAX_MS };
            wait = (wait * 2).min(Duration::from_millis(longest));
        }
    }

    /// Resolves when the time for draining has passed, counted from the first look after the shutdown has begun.
    async fn drain_is_over(&self) {
        self.shutdown.cancelled().await;
        let end = || tokio::time::Instant::now() + Duration::from_secs(DRAIN_SECONDS);
        tokio::time::sleep_until(*self.drain_until.get_or_init(end)).await;
    }
}

/// The end of a consumer whose store did not come back.
fn still_away(last: Option<LiveStoreError>) -> anyhow::Error {
    let reason = last.map_or_else(|| "it does not answer".to_owned(), |error| error.to_string());
    anyhow::anyhow!(
        "the live store (--store, STORE_URL) was away until {DRAIN_SECONDS} s after the shutdown had begun: {reason}; what \
         was read and is not stored is read again at the next start"
    )
}

/// The partition is read from its beginning; the checkpoint that says so.
fn begin_anew(
    partition: &TopicPartition,
    state: &mut Partition,
    view: &LogView,
    reason: &Another,
) -> anyhow::Result<Checkpoint> {
    let read_up_to = state.next_offset;
    let end = view.partitions.get(partition).map(|lag| lag.end);
    tracing::warn!(
        %partition, read_up_to, end,
        "this is not the log that was read before: {reason}. It is read from its beginning; what is stored already is \
         not stored again. If another log is meant, mend --log (LOG_URL); if another group, --group (CONSUMER_GROUP)"
    );
    state.begin_anew(view, Utc::now());
    state.checkpoint(partition)
}
