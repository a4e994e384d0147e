//! The first stage of writing: dead letters, then the processor's own store. While it stores one batch, the keeper applies the
//! one before.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    batch::Batch,
    dead_letters::DeadLetters,
    messages::{Command, Reply, StoredBatch},
    metrics::Metrics,
    processor::{Processor, ProcessorError, Verdict},
    store_calls::StoreCalls,
};

/// Stores the events of batches.
pub(crate) struct StoreStage<P: Processor> {
    processor: Arc<P>,
    store: Arc<StoreCalls>,
    dead_letters: DeadLetters,
    metrics: Arc<Metrics>,
}

impl<P: Processor> StoreStage<P> {
    pub(crate) fn new(
        processor: Arc<P>,
        store: Arc<StoreCalls>,
        dead_letters: DeadLetters,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { processor, store, dead_letters, metrics }
    }

    /// Stores the events of every batch, and passes all commands on in their order, until there are no more.
    pub(crate) async fn run(
        self,
        mut commands: mpsc::Receiver<Command<Batch<P::Event>>>,
        keeper: mpsc::Sender<Command<StoredBatch<P::Event>>>,
        replies: mpsc::Sender<Reply>,
    ) -> anyhow::Result<()> {
        while let Some(command) = commands.recv().await {
            let (command, is_batch) = match command {
                Command::Write(batch) => (Command::Write(self.store(batch).await?), true),
                Command::Assign(partitions) => (Command::Assign(partitions), false),
                Command::Restart(partition) => (Command::Restart(partition), false),
                Command::Revoke(partitions) => (Command::Revoke(partitions), false),
                Command::Finish => (Command::Finish, false),
            };
            // A keeper that has ended returns its own error.
            if keeper.send(command).await.is_err() {
                return Ok(());
            }
            // Sent when the keeper has room, so that no more than one batch waits for it.
            if is_batch && replies.send(Reply::Stored).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn store(&self, mut batch: Batch<P::Event>) -> anyhow::Result<StoredBatch<P::Event>> {
        if !batch.dead_letters.is_empty() {
            self.dead_letters.publish(std::mem::take(&mut batch.dead_letters)).await?;
        }
        let mut verdicts = Vec::new();
        if !batch.events.is_empty() {
            verdicts = self.store.repeat(|| self.store_once(&batch.events)).await?;
        }
        self.count(&verdicts);
        Ok(StoredBatch { batch, verdicts })
    }

    async fn store_once(&self, events: &[P::Event]) -> Result<Vec<Verdict>, ProcessorError> {
        let verdicts = self.processor.store(events).await?;
        if verdicts.len() != events.len() {
            let (events, verdicts) = (events.len(), verdicts.len());
            let reason = anyhow::anyhow!("{} returned {verdicts} verdicts for {events} events", P::NAME);
            return Err(ProcessorError::Failed(reason));
        }
        Ok(verdicts)
    }

    fn count(&self, verdicts: &[Verdict]) {
        let (mut redelivered, mut duplicates) = (0, 0);
        for verdict in verdicts {
            match verdict {
                Verdict::New => {}
                Verdict::Redelivered(_) => redelivered += 1,
                Verdict::Duplicate => duplicates += 1,
            }
        }
        self.metrics.redelivered.add(redelivered);
        self.metrics.duplicates.add(duplicates);
    }
}
