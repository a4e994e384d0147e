//! Reads the log without ever standing still: gathers a batch while the one before is being written, and goes on
//! polling, with its partitions paused, while the store is away.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use chrono::Utc;
use event_log::{CommitHandle, Event, EventLog, Message, Position, StartAt, Subscription, TopicPartition};
use service_runtime::Component;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    batcher::{Batch, Batcher},
    commands::{Command, MAX_COMMANDS, Reply},
    commits::Commits,
    inserter::Inserter,
    metrics::Metrics,
    writer::Writer,
    writing::write,
};

/// Longest wait for messages when there is nothing to do.
const IDLE_WAIT_MS: u64 = 250;
/// What a rebalance may take to save the state of the partitions that leave.
const REVOKE_DEADLINE_MS: u64 = 4_000;
/// Positions are committed this often, and when partitions are given up. Reading goes on from the checkpoint in the store
/// whatever they say: a commit only tells how far we are.
const COMMIT_INTERVAL_MS: u64 = 200;

/// The reading side.
pub(crate) struct Intake {
    subscription: Box<dyn Subscription>,
    batcher: Batcher,
    commands: mpsc::Sender<Command<Batch>>,
    replies: mpsc::Receiver<Reply>,
    writer: tokio::task::JoinHandle<anyhow::Result<()>>,
    assigned: Vec<TopicPartition>,
    /// Where to begin with assigned partitions that are not read yet.
    starts: BTreeMap<TopicPartition, StartAt>,
    begin_again_at: Instant,
    /// Of partitions that have just begun: offsets before this one were dealt with.
    known: BTreeMap<TopicPartition, u64>,
    /// The least offset that each partition being read can go on with.
    least: BTreeMap<TopicPartition, u64>,
    is_inserting: bool,
    is_paused: bool,
    /// The log was away, or let us in no more, when it was last asked.
    is_kept_waiting: bool,
    commits: Commits,
    health: Component,
    metrics: Arc<Metrics>,
}

impl Intake {
    pub(crate) fn new(
        subscription: Box<dyn Subscription>,
        batcher: Batcher,
        inserter: Inserter,
        writer: Writer,
        log: Arc<dyn EventLog>,
        health: Component,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (commands, receive_commands) = mpsc::channel(MAX_COMMANDS);
        let (send_replies, replies) = mpsc::channel(MAX_COMMANDS);
        let writer = tokio::spawn(write(inserter, writer, log, receive_commands, send_replies));
        Self {
            subscription,
            batcher,
            commands,
            replies,
            writer,
            assigned: Vec::new(),
            starts: BTreeMap::new(),
            begin_again_at: Instant::now(),
            known: BTreeMap::new(),
            least: BTreeMap::new(),
            is_inserting: false,
            is_paused: false,
            is_kept_waiting: false,
            commits: Commits::new(Instant::now()),
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
                    Ok(event) => {
                        if std::mem::take(&mut self.is_kept_waiting) {
                            self.say_assigned();
                        }
                        self.take_event(event).await?;
                    }
                    Err(error) if error.is_transient() => {
                        self.is_kept_waiting = true;
                        self.health.down(&error.to_string());
                        tokio::time::sleep(Duration::from_millis(IDLE_WAIT_MS)).await;
                    }
                    Err(error) => return Err(error).context("the subscription failed"),
                },
            }
            self.begin().await?;
            self.write_if_due().await?;
            self.pause_if_full().await?;
            if self.commits.at.elapsed() >= Duration::from_millis(COMMIT_INTERVAL_MS) {
                self.commit().await?;
            }
        }
    }

    fn wait(&self) -> Duration {
        let idle = Duration::from_millis(IDLE_WAIT_MS);
        match self.batcher.due_at() {
            Some(due) if !self.is_inserting => due.saturating_duration_since(Instant::now()).min(idle),
            _ => idle,
        }
    }

    async fn take_event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Assigned(partitions) => {
                tracing::info!(partitions = %listed(&partitions), "assigned");
                self.assigned.extend_from_slice(&partitions);
                self.least.retain(|known, _| !partitions.contains(known));
                self.commits.forget(&partitions);
                self.say_assigned();
                self.command(Command::Assign(partitions)).await
            }
            // Ready to take over.
            Event::Standby => {
                self.say_assigned();
                Ok(())
            }
            Event::Revoked(partitions) => self.give_up(partitions).await,
            Event::Messages(messages) => {
                let (now, arrived) = (Utc::now(), Instant::now());
                for message in messages {
                    if !self.follows(&message).await? {
                        continue;
                    }
                    if self.is_known(&message) {
                        self.batcher.push_known(message, arrived);
                    } else {
                        self.batcher.push(message, now, arrived);
                    }
                }
                Ok(())
            }
        }
    }

    async fn take_reply(&mut self, reply: Reply) -> anyhow::Result<()> {
        match reply {
            Reply::Assigned(starts) => {
                let ours = starts.into_iter().filter(|(partition, _)| self.assigned.contains(partition));
                self.starts.extend(ours);
                Ok(())
            }
            Reply::Inserted => {
                self.is_inserting = false;
                if std::mem::take(&mut self.is_paused) {
                    self.subscription.resume(&self.assigned).await.context("cannot resume")?;
                }
                Ok(())
            }
            Reply::Written(handles) => {
                let by_partition = |handle: CommitHandle| (handle.position().topic_partition.clone(), handle);
                // Of a log that has begun anew meanwhile there is nothing to commit.
                let handles = handles.into_iter().map(by_partition);
                self.commits
                    .stored
                    .extend(handles.filter(|(partition, _)| self.least.contains_key(partition)));
                Ok(())
            }
            Reply::Revoked | Reply::Finished => Ok(()),
        }
    }

    fn say_assigned(&self) {
        let count = self.assigned.len();
        self.health.up(&format!("{count} partition{}", if count == 1 { "" } else { "s" }));
        let mut by_topic: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
        for TopicPartition { topic, partition } in &self.assigned {
            by_topic.entry(topic.to_string()).or_default().insert(*partition);
        }
        self.health.reads(by_topic);
    }

    /// Begins with the partitions that wait for it. A broker that has just come back may refuse for a while.
    async fn begin(&mut self) -> anyhow::Result<()> {
        if self.starts.is_empty() || Instant::now() < self.begin_again_at {
            return Ok(());
        }
        while let Some((partition, start)) = self.starts.pop_first() {
            // The last message before the checkpoint comes once more, for its handle: it may have been stored and never
            // committed, and where nothing new is said nothing else would move the group's position.
            let from = match start {
                StartAt::Offset(next @ 1..) => {
                    self.known.insert(partition.clone(), next);
                    StartAt::Offset(next - 1)
                }
                start => start,
            };
            match self.subscription.seek(&partition, from).await {
                Ok(()) => {
                    let least = if let StartAt::Offset(least) = from { least } else { 0 };
                    self.least.insert(partition, least);
                }
                Err(error) if error.is_transient() => {
                    self.health.down(&format!("{partition}: {error}"));
                    self.starts.insert(partition, start);
                    self.begin_again_at = Instant::now() + Duration::from_millis(IDLE_WAIT_MS);
                    return Ok(());
                }
                Err(error) => return Err(error).with_context(|| partition.to_string()),
            }
        }
        self.say_assigned();
        // The batch is full, and not for those before only.
        if self.is_paused {
            self.subscription.pause(&self.assigned).await.context("cannot pause")?;
        }
        Ok(())
    }

    /// Whether a message comes behind the one before it in its partition. If not, the log has begun anew under us: a broker
    /// that was wiped, a topic that was made again. Nothing of it counts until the writer knows, and it is read again from
    /// its beginning.
    async fn follows(&mut self, message: &Message) -> anyhow::Result<bool> {
        let Position { topic_partition, offset } = &message.position;
        match self.least.get_mut(topic_partition) {
            // Waits to be begun.
            None => return Ok(false),
            Some(least) if *least <= *offset => {
                *least = offset + 1;
                return Ok(true);
            }
            Some(_) => {}
        }
        self.least.remove(topic_partition);
        self.known.remove(topic_partition);
        self.commits.stored.remove(topic_partition);
        self.commits.forget(std::slice::from_ref(topic_partition));
        // What came of the log before is nowhere else any more.
        let rest = self.batcher.take();
        if !rest.is_empty() {
            self.is_inserting = true;
            self.command(Command::Write(rest)).await?;
        }
        self.command(Command::BeginAnew(topic_partition.clone())).await?;
        Ok(false)
    }

    /// Whether a message lies before the checkpoint that its partition began at.
    fn is_known(&mut self, message: &Message) -> bool {
        if self.known.is_empty() {
            return false;
        }
        let Position { topic_partition, offset } = &message.position;
        let is_known = self.known.get(topic_partition).is_some_and(|next| offset < next);
        if !is_known {
            self.known.remove(topic_partition);
        }
        is_known
    }

    /// A commit that fails for now is made good by the next one.
    async fn commit(&mut self) -> anyhow::Result<()> {
        self.commits.at = Instant::now();
        let handles: Vec<CommitHandle> = std::mem::take(&mut self.commits.stored).into_values().collect();
        if handles.is_empty() && !self.commits.is_owed {
            return Ok(());
        }
        self.commits.begin(handles.iter().map(|handle| &handle.position().topic_partition));
        let committed = self.subscription.commit(handles).await;
        self.commits.is_owed = committed.is_err();
        match committed {
            Ok(stale) => {
                if stale > 0 {
                    tracing::info!(stale, "partitions moved on before their messages were committed");
                }
                let first = self.commits.taken_first();
                if first.is_empty() { Ok(()) } else { self.command(Command::Committed(first)).await }
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
        self.starts.retain(|known, _| !partitions.contains(known));
        self.known.retain(|known, _| !partitions.contains(known));
        self.say_assigned();
        let deadline = Instant::now() + Duration::from_millis(REVOKE_DEADLINE_MS);
        // What is taken from the batcher must reach the writer: it holds messages of partitions that stay, too, and their
        // position would move past what was dropped. So nothing is taken before the inserter is free, and what has gone is
        // left out.
        let is_free = async {
            while self.is_inserting {
                match self.replies.recv().await {
                    Some(reply) => self.take_reply(reply).await?,
                    None => return self.writer_ended().await,
                }
            }
            Ok(())
        };
        if let Ok(free) = timeout_at(deadline, is_free).await {
            free?;
            self.is_inserting = true;
            let rest = self.batcher.take();
            self.command(Command::Write(rest)).await?;
        } else {
            tracing::warn!("the store is behind; the next owner reads again what was not stored");
            self.batcher.forget(&partitions);
        }
        self.command(Command::Revoke(partitions)).await?;
        let saved = async {
            loop {
                match self.replies.recv().await {
                    Some(Reply::Revoked) => return self.commit().await,
                    Some(reply) => self.take_reply(reply).await?,
                    None => return self.writer_ended().await,
                }
            }
        };
        if let Ok(saved) = timeout_at(deadline, saved).await {
            return saved;
        }
        tracing::warn!("partitions moved on before their state was saved; it is made anew from the log");
        Ok(())
    }

    async fn write_if_due(&mut self) -> anyhow::Result<()> {
        if self.is_inserting || self.batcher.is_empty() || !self.batcher.is_due(Instant::now()) {
            return Ok(());
        }
        self.is_inserting = true;
        let batch = self.batcher.take();
        self.command(Command::Write(batch)).await
    }

    async fn pause_if_full(&mut self) -> anyhow::Result<()> {
        if self.batcher.room() > 0 || self.is_paused || !self.is_inserting {
            return Ok(());
        }
        self.is_paused = true;
        self.subscription.pause(&self.assigned).await.context("cannot pause")
    }

    async fn command(&mut self, command: Command<Batch>) -> anyhow::Result<()> {
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
        // The last checkpoint tells of a first commit.
        let Self { commands, writer, subscription, metrics, .. } = self;
        drop(commands);
        writer.await.context("the writer panicked")?.context("the writer failed")?;
        tracing::info!(stored = metrics.stored.total(), "everything read is stored and committed");
        subscription.leave().await;
        Ok(())
    }
}

fn listed(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
