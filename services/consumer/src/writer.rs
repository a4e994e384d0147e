//! The second half of writing: counts stored ticks in their bars, writes candles, then the checkpoint; in an order that any
//! crash may cut.
//!
//! A crash after any step is repaired by reading again from the checkpoint: ticks are recognised by their identity,
//! bars are replaced by the same bars, dead letters and published bars may be said twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use event_log::{CommitHandle, EventLog, PartitionLag, StartAt, TopicPartition};
use live_store::Checkpoint;
use market::{Applied, Candle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::{Ends, Inserted},
    metrics::Metrics,
    patient_store::PatientStore,
    publishing::Publishing,
    state::{Another, LogView, Partition, fewer_partitions, unknown_to_store},
};

/// Checkpoints are written this often, and when a partition is given up.
const CHECKPOINT_INTERVAL_MS: u64 = 1_000;
/// Between two looks at a log that is away.
const LOOK_AGAIN_MS: u64 = 250;

/// Owns the state of the partitions.
pub(crate) struct Writer {
    store: Arc<PatientStore>,
    log: Arc<dyn EventLog>,
    group: String,
    publishing: Arc<Publishing>,
    partitions: BTreeMap<TopicPartition, Partition>,
    checkpointed: Instant,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    /// Where its own clock began.
    started: (DateTime<Utc>, Instant),
}

impl Writer {
    pub(crate) fn new(
        store: Arc<PatientStore>,
        publishing: Arc<Publishing>,
        log: Arc<dyn EventLog>,
        group: &str,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            store,
            log,
            group: group.to_owned(),
            publishing,
            partitions: BTreeMap::new(),
            checkpointed: Instant::now(),
            metrics,
            shutdown,
            started: (Utc::now(), Instant::now()),
        }
    }

    /// Takes partitions over: restores the state of each from its checkpoint, and says where to read on. Nowhere, if the
    /// shutdown comes before the log has told.
    pub(crate) async fn assign(
        &mut self,
        assigned: &[TopicPartition],
    ) -> anyhow::Result<Vec<(TopicPartition, StartAt)>> {
        let checkpoints = self.store.checkpoints().await?;
        let Some(view) = self.look_at_log(assigned).await? else { return Ok(Vec::new()) };
        for fewer in fewer_partitions(&checkpoints, &view) {
            tracing::warn!(topic = fewer.topic, "{fewer}");
        }
        if let Some(committed) = unknown_to_store(assigned, &checkpoints, &view) {
            tracing::warn!(
                committed,
                "the group has read this log, and the store has no checkpoint of it: it is another store or an empty one, or \
                 the consumer was killed in its first second. The log is read from its beginning, and nothing is stored \
                 twice; if another store is meant, mend --store (STORE_URL)"
            );
        }
        let mut resets = Vec::new();
        for partition in assigned {
            let of_it = |known: &&Checkpoint| {
                *known.topic == *partition.topic && known.partition == partition.partition
            };
            let mut state = Partition::restore(checkpoints.iter().find(of_it), &view)?;
            if let Some(reason) = state.another_log(partition, &view) {
                resets.push(begin_anew(partition, &mut state, &view, &reason)?);
            } else if let Some(expired) = state.expired(partition, &view) {
                self.metrics.expired.add(expired);
                tracing::warn!(
                    %partition, expired,
                    "records were removed from the log before they were read: its topic keeps them for too short a time or \
                     in too little space (retention.ms, retention.bytes) for how long the consumer or its store was away"
                );
            }
            state.is_of(partition, &view);
            state.inherit(partition, &checkpoints, &view)?;
            // Whoever saw its ticks before may have had another clock.
            state.builder.reset_idle_timers(self.now());
            self.partitions.insert(partition.clone(), state);
        }
        self.store.reset_checkpoints(&resets).await?;
        let start =
            |partition: &TopicPartition| Some((partition.clone(), self.partitions.get(partition)?.start()));
        Ok(assigned.iter().filter_map(start).collect())
    }

    /// The log has taken a commit of these.
    pub(crate) fn committed(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(state) = self.partitions.get_mut(partition) {
                state.mark_committed();
            }
        }
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
        // Ours may be among those that are gone.
        self.save(&[]).await?;
        let checkpoints = self.store.checkpoints().await?;
        let Some(state) = self.partitions.get_mut(&partition) else { return Ok(Vec::new()) };
        let reset = begin_anew(&partition, state, &view, &Another::WentBack)?;
        state.inherit(&partition, &checkpoints, &view)?;
        self.store.reset_checkpoints(std::slice::from_ref(&reset)).await?;
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

    /// Writes what comes of a batch; its handles may be spent afterwards.
    pub(crate) async fn write(&mut self, inserted: Inserted) -> anyhow::Result<Vec<CommitHandle>> {
        let mut candles = self.apply(&inserted);
        let mut batch = inserted.batch;
        for (partition, handle) in &batch.partitions {
            if let Some(state) = self.partitions.get_mut(partition) {
                state.move_to(handle.position().offset + 1);
            }
        }
        self.metrics.provider_candles.add(batch.provider_candles.len() as u64);
        self.publishing.candles(&candles).await?;
        candles.append(&mut batch.provider_candles);
        if self.checkpointed.elapsed() >= Duration::from_millis(CHECKPOINT_INTERVAL_MS) {
            self.save(&candles).await?;
        } else if !candles.is_empty() {
            self.store.write_progress(&candles, &[]).await?;
        }
        Ok(batch.partitions.into_iter().map(|(_, handle)| handle).collect())
    }

    /// Saves the state of the partitions that moved.
    pub(crate) async fn checkpoint(&mut self) -> anyhow::Result<()> {
        self.save(&[]).await
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
            state.builder.reset_idle_timers(now);
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
        self.publishing.candles(&closed).await?;
        self.save(&closed).await
    }

    /// At the end: the bars in progress are stored as not final, so that charts show them.
    pub(crate) async fn finish(&mut self) -> anyhow::Result<()> {
        let open: Vec<Candle> =
            self.partitions.values().flat_map(|state| state.builder.open_candles()).collect();
        self.save(&open).await
    }

    /// Counts ticks in their bars; those that the producer said twice only once. Returns the bars that closed.
    fn apply(&mut self, Inserted { batch, outcomes }: &Inserted) -> Vec<Candle> {
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
        self.checkpointed = Instant::now();
        if candles.is_empty() && checkpoints.is_empty() {
            return Ok(());
        }
        self.store.write_progress(candles, &checkpoints).await
    }
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
