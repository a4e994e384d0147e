//! Writes batches: dead letters, ticks, candles, checkpoint; in an order that any crash may cut.
//!
//! A crash after any step is repaired by reading again from the checkpoint: ticks are recognised by their identity,
//! bars are replaced by the same bars, dead letters and published bars may be said twice.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use event_log::{CommitHandle, NewRecord, Publisher, Receipt, StartAt, TopicPartition};
use live_store::{Checkpoint, LiveStore, LiveStoreError, TickOutcome};
use market::{Applied, BuilderState, Candle, CandleBuilder, Interval};
use service_runtime::{Component, Runtime};
use tokio_util::sync::CancellationToken;

use crate::{batcher::Batch, metrics::Metrics};

/// The name of this processor in `checkpoints`.
const PROCESSOR: &str = "consumer";
/// Checkpoints are written this often, and when a partition is given up.
const CHECKPOINT_INTERVAL_MS: u64 = 1_000;
/// A store that nothing was written to for so long is asked whether it is there.
const IDLE_QUESTION_MS: u64 = 5_000;
/// Between tries while the store is away; doubled up to the maximum.
const RETRY_MIN_MS: u64 = 50;
const RETRY_MAX_MS: u64 = 5_000;

/// Ticks may be this late and still count in their bar.
const ALLOWED_LATENESS_SECONDS: u32 = 5;

/// The offset that the next record of a partition gets.
pub(crate) type Ends = BTreeMap<TopicPartition, u64>;

/// The candle state of one partition.
struct Partition {
    builder: CandleBuilder,
    next_offset: u64,
    is_changed: bool,
}

/// Owns what is between the log and the store.
pub(crate) struct Writer {
    store: Arc<dyn LiveStore>,
    publisher: Arc<dyn Publisher>,
    partitions: BTreeMap<TopicPartition, Partition>,
    checkpointed: tokio::time::Instant,
    /// When the store was last asked for anything.
    asked: tokio::time::Instant,
    metrics: Arc<Metrics>,
    health: Component,
    shutdown: CancellationToken,
}

impl Writer {
    pub(crate) fn new(
        runtime: &Runtime,
        store: Arc<dyn LiveStore>,
        metrics: Arc<Metrics>,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            store,
            publisher: runtime.log.publisher().context("cannot publish candles")?,
            partitions: BTreeMap::new(),
            checkpointed: tokio::time::Instant::now(),
            asked: tokio::time::Instant::now(),
            metrics,
            health: runtime.status.component("live store"),
            shutdown: runtime.shutdown.clone(),
        })
    }

    /// Takes partitions over: restores the state of each from its checkpoint, and says where to read on.
    pub(crate) async fn assign(
        &mut self,
        assigned: &[TopicPartition],
    ) -> anyhow::Result<Vec<(TopicPartition, StartAt)>> {
        let store = Arc::clone(&self.store);
        let checkpoints = self.persist(|| store.checkpoints(PROCESSOR)).await?;
        let mut starts = Vec::new();
        for partition in assigned {
            let checkpoint = checkpoints
                .iter()
                .find(|known| *known.topic == *partition.topic && known.partition == partition.partition);
            // A store without checkpoint knows nothing of this log, whatever the group has committed.
            let start = checkpoint.map_or(StartAt::Beginning, |known| StartAt::Offset(known.next_offset));
            starts.push((partition.clone(), start));
            // Of providers' bars there is no state but how far they were read, so that days of them need not be read anew.
            self.partitions.insert(partition.clone(), Partition::restore(checkpoint)?);
        }
        Ok(starts)
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
                state.next_offset = state.next_offset.max(handle.position().offset + 1);
                state.is_changed = true;
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

    fn measure(&self, batch: &Batch, outcomes: &[TickOutcome]) {
        let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count() as u64;
        self.metrics.stored.add(count(TickOutcome::New));
        self.metrics.redelivered.add(count(TickOutcome::Redelivered));
        self.metrics.duplicates.add(count(TickOutcome::Duplicate));
        let now = Utc::now();
        self.metrics.feed_stored.record_live(batch.ticks.iter().map(|stored| now - stored.tick.received_at));
    }

    /// Counts ticks in their bars; those that the producer said twice only once. Returns the bars that closed.
    fn apply(&mut self, batch: &Batch, outcomes: &[TickOutcome]) -> Vec<Candle> {
        let mut closed = Vec::new();
        let mut late = 0;
        for (origin, (partition, _)) in batch.partitions.iter().enumerate() {
            let Some(state) = self.partitions.get_mut(partition) else { continue };
            for ((stored, outcome), of) in batch.ticks.iter().zip(outcomes).zip(&batch.origins) {
                // What lies before the state's offset is in it: partitions that came, went and came again while the store
                // was away are delivered from more than one place.
                let is_new = stored.offset >= state.next_offset && *outcome != TickOutcome::Duplicate;
                if usize::from(*of) == origin && is_new {
                    let applied = state.builder.apply(&stored.tick, stored.processed_at, &mut closed);
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
            tracing::warn!(
                topic,
                count = records.len(),
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

    /// Repeats `call` while the store is away. During a shutdown a store that is away is given up: what was not
    /// stored was not committed, and is delivered again.
    async fn persist<T, F>(&self, mut call: impl FnMut() -> F) -> anyhow::Result<T>
    where
        F: Future<Output = Result<T, LiveStoreError>>,
    {
        let mut wait = Duration::from_millis(RETRY_MIN_MS);
        loop {
            match call().await {
                Ok(value) => {
                    self.health.up("answers");
                    return Ok(value);
                }
                Err(error) if error.is_transient() && !self.shutdown.is_cancelled() => {
                    self.health.down(&error.to_string());
                    self.metrics.store_retries.add(1);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.shutdown.cancelled() => {}
                    }
                    wait = (wait * 2).min(Duration::from_millis(RETRY_MAX_MS));
                }
                Err(error) => {
                    self.health.down(&error.to_string());
                    return Err(error).context("the live store failed");
                }
            }
        }
    }
}

impl Partition {
    fn restore(checkpoint: Option<&Checkpoint>) -> anyhow::Result<Self> {
        let (builder, next_offset) = match checkpoint {
            Some(known) => {
                let state: BuilderState = serde_json::from_str(&known.state).with_context(|| {
                    format!("the checkpoint of {}[{}] cannot be read", known.topic, known.partition)
                })?;
                (CandleBuilder::restore(state), known.next_offset)
            }
            None => (CandleBuilder::new(&Interval::ALL, ALLOWED_LATENESS_SECONDS), 0),
        };
        Ok(Self { builder, next_offset, is_changed: false })
    }

    fn checkpoint(&self, partition: &TopicPartition) -> anyhow::Result<Checkpoint> {
        Ok(Checkpoint {
            processor: PROCESSOR.to_owned(),
            topic: partition.topic.to_string(),
            partition: partition.partition,
            next_offset: self.next_offset,
            state: serde_json::to_string(&self.builder.state()).context("cannot encode a checkpoint")?,
        })
    }
}
