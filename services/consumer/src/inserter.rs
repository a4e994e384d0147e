//! The first half of writing: dead letters, then ticks. While it stores one batch, the writer counts the one before in its
//! bars, so that the store need not wait for either.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use live_store::TickOutcome;
use tokio::{
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{
    batcher::Batch,
    commands::{Command, Inserted, Reply},
    metrics::Metrics,
    patient_store::PatientStore,
    publishing::Publishing,
};

/// A clock that is ahead is said at most so often.
const SKEW_SAID_SECONDS: u64 = 600;

/// Stores ticks.
pub(crate) struct Inserter {
    store: Arc<PatientStore>,
    publishing: Arc<Publishing>,
    metrics: Arc<Metrics>,
    /// When clocks were last said to differ.
    skew_said: Option<Instant>,
}

impl Inserter {
    pub(crate) fn new(store: Arc<PatientStore>, publishing: Arc<Publishing>, metrics: Arc<Metrics>) -> Self {
        Self { store, publishing, metrics, skew_said: None }
    }

    /// Stores the ticks of every batch, and passes all commands on in their order, until there are no more.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command<Batch>>,
        writer: mpsc::Sender<Command<Inserted>>,
        replies: mpsc::Sender<Reply>,
    ) -> anyhow::Result<()> {
        while let Some(command) = commands.recv().await {
            let (command, is_batch) = match command {
                Command::Write(batch) => (Command::Write(self.insert(batch).await?), true),
                Command::Assign(partitions) => (Command::Assign(partitions), false),
                Command::BeginAnew(partition) => (Command::BeginAnew(partition), false),
                Command::Revoke(partitions) => (Command::Revoke(partitions), false),
                Command::Committed(partitions) => (Command::Committed(partitions), false),
                Command::Finish => (Command::Finish, false),
            };
            // The writer's end tells more than that it does not listen any more.
            if writer.send(command).await.is_err() {
                return Ok(());
            }
            // Said when the writer has room, so that no more than one batch waits for it.
            if is_batch && replies.send(Reply::Inserted).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn insert(&mut self, mut batch: Batch) -> anyhow::Result<Inserted> {
        self.publishing.dead_letters(std::mem::take(&mut batch.dead_letters)).await?;
        let outcomes =
            if batch.ticks.is_empty() { Vec::new() } else { self.store.write_ticks(&batch.ticks).await? };
        self.measure(&batch, &outcomes);
        Ok(Inserted { batch, outcomes })
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
        if let Some(ahead) = ahead.filter(|ahead| *ahead > TimeDelta::seconds(topics::MAX_SKEW_SECONDS)) {
            self.say_skew(ahead);
        }
        self.metrics.feed_stored.record_live(batch.ticks.iter().map(|stored| now - stored.tick.received_at));
    }

    /// Said now and then: every batch has it.
    fn say_skew(&mut self, ahead: TimeDelta) {
        let often = Duration::from_secs(SKEW_SAID_SECONDS);
        if self.skew_said.is_none_or(|said| said.elapsed() >= often) {
            self.skew_said = Some(Instant::now());
            tracing::warn!(
                seconds = ahead.num_seconds(),
                "the clock of a producer is ahead of this host's: set one of them (NTP). Ticks of more than {} s ahead go to \
                 the dead letters",
                topics::tick::MAX_AHEAD_SECONDS
            );
        }
    }
}
