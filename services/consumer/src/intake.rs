//! Reads the log without ever standing still: gathers a batch while the one before is being written, and goes on
//! polling, with its partitions paused, while the store is away.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::Utc;
use event_log::{CommitHandle, Event, StartAt, Subscription, TopicPartition};
use service_runtime::Component;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    batcher::{Batch, Batcher},
    metrics::Metrics,
    writer::Writer,
};

/// Longest wait for messages when there is nothing to do.
const IDLE_WAIT_MS: u64 = 250;
/// What a rebalance may take to save the state of the partitions that leave.
const REVOKE_DEADLINE_MS: u64 = 4_000;
/// Positions are committed this often, and when partitions are given up. Reading goes on from the checkpoint in the store
/// whatever they say: a commit only tells how far we are.
const COMMIT_INTERVAL_MS: u64 = 200;
/// Between two looks for symbols that have gone quiet.
const ADVANCE_INTERVAL_MS: u64 = 1_000;

/// What the writer is asked to do, in order.
enum Command {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>),
    Write(Batch),
    Finish,
}

/// What it answers, in the same order.
enum Reply {
    Assigned(Vec<(TopicPartition, StartAt)>),
    Revoked,
    Written(Vec<CommitHandle>),
    Finished,
}

/// Runs the writer until it has finished, or for good fails.
async fn write_loop(
    mut writer: Writer,
    mut commands: mpsc::Receiver<Command>,
    replies: mpsc::Sender<Reply>,
) -> anyhow::Result<()> {
    let mut advance = tokio::time::interval(Duration::from_millis(ADVANCE_INTERVAL_MS));
    advance.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            _ = advance.tick() => { writer.advance(Utc::now()).await?; continue }
        };
        let reply = match command {
            None => return Ok(()),
            Some(Command::Assign(partitions)) => Reply::Assigned(writer.assign(&partitions).await?),
            Some(Command::Write(batch)) => Reply::Written(writer.write(batch).await?),
            Some(Command::Revoke(partitions)) => {
                writer.revoke(&partitions).await?;
                Reply::Revoked
            }
            Some(Command::Finish) => {
                writer.finish().await?;
                Reply::Finished
            }
        };
        if replies.send(reply).await.is_err() {
            return Ok(());
        }
    }
}

/// The reading side.
pub(crate) struct Intake {
    subscription: Box<dyn Subscription>,
    batcher: Batcher,
    commands: mpsc::Sender<Command>,
    replies: mpsc::Receiver<Reply>,
    writer: tokio::task::JoinHandle<anyhow::Result<()>>,
    assigned: Vec<TopicPartition>,
    is_writing: bool,
    is_paused: bool,
    /// Handles of what is stored and not committed yet, the furthest of each partition.
    stored: BTreeMap<TopicPartition, CommitHandle>,
    committed_at: Instant,
    health: Component,
    metrics: Arc<Metrics>,
}

impl Intake {
    pub(crate) fn new(
        subscription: Box<dyn Subscription>,
        batcher: Batcher,
        writer: Writer,
        health: Component,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (commands, receive_commands) = mpsc::channel(8);
        let (send_replies, replies) = mpsc::channel(8);
        let writer = tokio::spawn(write_loop(writer, receive_commands, send_replies));
        Self {
            subscription,
            batcher,
            commands,
            replies,
            writer,
            assigned: Vec::new(),
            is_writing: false,
            is_paused: false,
            stored: BTreeMap::new(),
            committed_at: Instant::now(),
            health,
            metrics,
        }
    }

    /// Reads until the shutdown, then writes and commits what was read.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        loop {
            let (room, wait) = (self.batcher.room().max(1), self.wait());
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.drain().await,
                reply = self.replies.recv() => match reply {
                    Some(reply) => self.take_reply(reply).await?,
                    None => return self.writer_ended().await,
                },
                event = self.subscription.next(room, wait) => match event {
                    Ok(event) => self.take_event(event).await?,
                    Err(error) if error.is_transient() => {
                        self.health.down(&error.to_string());
                        tokio::time::sleep(Duration::from_millis(IDLE_WAIT_MS)).await;
                    }
                    Err(error) => return Err(error).context("the subscription failed"),
                },
            }
            self.write_if_due().await?;
            self.pause_if_full().await?;
            if self.committed_at.elapsed() >= Duration::from_millis(COMMIT_INTERVAL_MS) {
                self.commit().await?;
            }
        }
    }

    fn wait(&self) -> Duration {
        let idle = Duration::from_millis(IDLE_WAIT_MS);
        match self.batcher.due_at() {
            Some(due) if !self.is_writing => due.saturating_duration_since(Instant::now()).min(idle),
            _ => idle,
        }
    }

    async fn take_event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Assigned(partitions) => {
                tracing::info!(partitions = %listed(&partitions), "assigned");
                self.assigned.extend_from_slice(&partitions);
                self.health.up(&format!("{} partitions", self.assigned.len()));
                self.command(Command::Assign(partitions)).await
            }
            Event::Revoked(partitions) => self.give_up(partitions).await,
            Event::Messages(messages) => {
                let (now, arrived) = (Utc::now(), Instant::now());
                for message in messages {
                    self.batcher.push(message, now, arrived);
                }
                Ok(())
            }
        }
    }

    async fn take_reply(&mut self, reply: Reply) -> anyhow::Result<()> {
        match reply {
            Reply::Assigned(starts) => {
                for (partition, start) in starts {
                    if self.assigned.contains(&partition) {
                        self.subscription
                            .seek(&partition, start)
                            .await
                            .with_context(|| partition.to_string())?;
                    }
                }
                Ok(())
            }
            Reply::Written(handles) => {
                self.is_writing = false;
                let by_partition = |handle: CommitHandle| (handle.position().topic_partition.clone(), handle);
                self.stored.extend(handles.into_iter().map(by_partition));
                if std::mem::take(&mut self.is_paused) {
                    self.subscription.resume(&self.assigned).await.context("cannot resume")?;
                }
                Ok(())
            }
            Reply::Revoked | Reply::Finished => Ok(()),
        }
    }

    /// A commit that fails for now is made good by the next one.
    async fn commit(&mut self) -> anyhow::Result<()> {
        self.committed_at = Instant::now();
        let handles: Vec<CommitHandle> = std::mem::take(&mut self.stored).into_values().collect();
        if handles.is_empty() {
            return Ok(());
        }
        match self.subscription.commit(handles).await {
            Ok(0) => Ok(()),
            Ok(stale) => {
                tracing::info!(stale, "partitions moved on before their messages were committed");
                Ok(())
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "a commit failed and is left to the next");
                Ok(())
            }
            Err(error) => Err(error).context("cannot commit"),
        }
    }

    /// Before partitions leave: what was read of them is written and committed, within a deadline. Past it the new
    /// owner reads it again, and nothing is doubled.
    async fn give_up(&mut self, partitions: Vec<TopicPartition>) -> anyhow::Result<()> {
        tracing::info!(partitions = %listed(&partitions), "revoked");
        self.assigned.retain(|known| !partitions.contains(known));
        self.health.up(&format!("{} partitions", self.assigned.len()));
        let rest = self.batcher.take();
        let deadline = Duration::from_millis(REVOKE_DEADLINE_MS);
        let saved = async {
            self.command(Command::Write(rest)).await?;
            self.command(Command::Revoke(partitions)).await?;
            while let Some(reply) = self.replies.recv().await {
                if matches!(reply, Reply::Revoked) {
                    break;
                }
                self.take_reply(reply).await?;
            }
            self.commit().await
        };
        if let Ok(saved) = timeout(deadline, saved).await {
            return saved;
        }
        tracing::warn!("partitions moved on before their state was saved; it is made anew from the log");
        Ok(())
    }

    async fn write_if_due(&mut self) -> anyhow::Result<()> {
        if self.is_writing || self.batcher.is_empty() || !self.batcher.is_due(Instant::now()) {
            return Ok(());
        }
        self.is_writing = true;
        let batch = self.batcher.take();
        self.command(Command::Write(batch)).await
    }

    async fn pause_if_full(&mut self) -> anyhow::Result<()> {
        if self.batcher.room() > 0 || self.is_paused || !self.is_writing {
            return Ok(());
        }
        self.is_paused = true;
        self.subscription.pause(&self.assigned).await.context("cannot pause")
    }

    async fn command(&mut self, command: Command) -> anyhow::Result<()> {
        if self.commands.send(command).await.is_err() {
            return self.writer_ended().await;
        }
        Ok(())
    }

    /// The writer's own error says more than the broken channel.
    async fn writer_ended(&mut self) -> anyhow::Result<()> {
        (&mut self.writer).await.context("the writer panicked")?.context("the writer failed")?;
        anyhow::bail!("the writer ended by itself")
    }

    async fn drain(mut self) -> anyhow::Result<()> {
        let rest = self.batcher.take();
        if !rest.is_empty() {
            self.command(Command::Write(rest)).await?;
        }
        self.command(Command::Finish).await?;
        loop {
            match self.replies.recv().await {
                Some(Reply::Finished) => break,
                Some(reply) => self.take_reply(reply).await?,
                None => return self.writer_ended().await,
            }
        }
        self.commit().await?;
        tracing::info!(stored = self.metrics.stored.total(), "everything read is stored and committed");
        Ok(())
    }
}

fn listed(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
