//! Reads the log without interruption: gathers a batch while the one before is being written, and keeps polling, with its
//! partitions paused, while the store is unavailable.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context;
use chrono::Utc;
use event_log::{CommitHandle, Event, Message, StartAt, Subscription, TopicPartition};
use service_runtime::Component;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    batch::{Batch, Batcher},
    keeper::Keeper,
    messages::{Command, MAX_COMMANDS, Reply},
    partitions::{Delivered, Partitions},
    processor::Processor,
    store_stage::StoreStage,
};

/// Longest wait for messages when there is nothing to do.
const IDLE_WAIT_MS: u64 = 250;
/// How long a rebalance may take to save the state of revoked partitions.
const REVOKE_DEADLINE_MS: u64 = 4_000;
/// Positions are committed this often, and when partitions are revoked. Reading starts at the checkpoint in the store whatever
/// they are: a commit only shows progress.
const COMMIT_INTERVAL_MS: u64 = 200;
/// A partition whose checkpoint another process has claimed is claimed again after so long, if it is still assigned. A process
/// that stood still has learned by then that it lost the partition.
const CLAIM_AGAIN_MS: u64 = 3_000;

/// The reading side of a processor.
pub(crate) struct Reader<P: Processor> {
    subscription: Box<dyn Subscription>,
    batcher: Batcher<P>,
    commands: mpsc::Sender<Command<Batch<P::Event>>>,
    replies: mpsc::Receiver<Reply>,
    stages: JoinSet<anyhow::Result<()>>,
    partitions: Partitions,
    start_again_at: Instant,
    /// Fenced partitions, and when to claim them again.
    claim_again: Vec<(Instant, TopicPartition)>,
    commits: Commits,
    is_storing: bool,
    is_paused: bool,
    /// The log was unavailable when it was last polled.
    is_log_down: bool,
    health: Component,
}

/// What is to be committed.
struct Commits {
    /// The furthest handle of each partition.
    handles: BTreeMap<TopicPartition, CommitHandle>,
    /// The last commit failed; the next one repeats it.
    is_owed: bool,
    last_at: Instant,
}

impl<P: Processor> Reader<P> {
    pub(crate) fn new(
        subscription: Box<dyn Subscription>,
        batcher: Batcher<P>,
        store_stage: StoreStage<P>,
        keeper: Keeper<P>,
        health: Component,
    ) -> Self {
        let (commands, receive_commands) = mpsc::channel(MAX_COMMANDS);
        let (send_replies, replies) = mpsc::channel(MAX_COMMANDS);
        // One batch waits for the keeper.
        let (stored, receive_stored) = mpsc::channel(1);
        let mut stages = JoinSet::new();
        stages.spawn(store_stage.run(receive_commands, stored, send_replies.clone()));
        stages.spawn(keeper.run(receive_stored, send_replies));
        let now = Instant::now();
        Self {
            subscription,
            batcher,
            commands,
            replies,
            stages,
            partitions: Partitions::default(),
            start_again_at: now,
            claim_again: Vec::new(),
            commits: Commits { handles: BTreeMap::new(), is_owed: false, last_at: now },
            is_storing: false,
            is_paused: false,
            is_log_down: false,
            health,
        }
    }

    /// Reads until the shutdown, then writes and commits what was read.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> anyhow::Result<()> {
        loop {
            let (room, wait) = (self.batcher.room().max(1), self.wait());
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.drain().await,
                reply = self.replies.recv() => self.take_reply(reply).await?,
                // The other stage still waits for commands, so that no closed channel would show it on a quiet log.
                Some(ended) = self.stages.join_next() => {
                    ended.context("a stage of the processor panicked")??;
                    return self.stage_ended().await;
                }
                event = self.subscription.next(room, wait) => match event {
                    Ok(event) => {
                        if std::mem::take(&mut self.is_log_down) {
                            self.report_assigned();
                        }
                        self.take_event(event).await?;
                    }
                    Err(error) if error.is_transient() => {
                        self.is_log_down = true;
                        self.health.down(&error.to_string());
                        tokio::time::sleep(Duration::from_millis(IDLE_WAIT_MS)).await;
                    }
                    Err(error) => return Err(error).context("the subscription failed"),
                },
            }
            self.claim_fenced().await?;
            self.start().await?;
            self.write_if_due().await?;
            self.pause_if_full().await?;
            if self.commits.last_at.elapsed() >= Duration::from_millis(COMMIT_INTERVAL_MS) {
                self.commit().await?;
            }
        }
    }

    fn wait(&self) -> Duration {
        let idle = Duration::from_millis(IDLE_WAIT_MS);
        match self.batcher.due_at() {
            Some(due) if !self.is_storing => due.saturating_duration_since(Instant::now()).min(idle),
            _ => idle,
        }
    }

    async fn take_event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Assigned(partitions) => {
                tracing::info!(partitions = %listed(&partitions), "assigned");
                self.claim(&partitions);
                self.report_assigned();
                self.command(Command::Assign(partitions)).await
            }
            // Ready to take over.
            Event::Standby => {
                self.report_assigned();
                Ok(())
            }
            Event::Revoked(partitions) => self.revoke(partitions).await,
            Event::Messages(messages) => {
                let (now, arrived) = (Utc::now(), Instant::now());
                for message in messages {
                    match self.partitions.deliver(&message) {
                        Delivered::InOrder => self.batcher.push(message, now, arrived),
                        Delivered::NotStarted => {}
                        Delivered::WentBack => self.restart(message).await?,
                    }
                }
                Ok(())
            }
        }
    }

    async fn take_reply(&mut self, reply: Option<Reply>) -> anyhow::Result<()> {
        match reply {
            None => return self.stage_ended().await,
            Some(Reply::Assigned(next_offsets)) => self.partitions.claimed(next_offsets),
            Some(Reply::Stored) => {
                self.is_storing = false;
                if std::mem::take(&mut self.is_paused) {
                    self.subscription.resume(&self.partitions.all()).await.context("cannot resume")?;
                }
            }
            Some(Reply::Written(handles)) => {
                let by_partition = |handle: CommitHandle| (handle.position().topic_partition.clone(), handle);
                // A partition that is claimed again has nothing to commit of before. One that is being revoked has.
                let is_current = |(partition, _): &(TopicPartition, CommitHandle)| {
                    !self.partitions.is_beginning(partition)
                };
                self.commits.handles.extend(handles.into_iter().map(by_partition).filter(is_current));
            }
            Some(Reply::Fenced(partitions)) => {
                let partitions = self.partitions.fenced(partitions);
                self.forget(&partitions);
                let at = Instant::now() + Duration::from_millis(CLAIM_AGAIN_MS);
                self.claim_again.extend(partitions.into_iter().map(|partition| (at, partition)));
            }
            Some(Reply::Revoked | Reply::Finished) => {}
        }
        Ok(())
    }

    fn report_assigned(&self) {
        let count = self.partitions.len();
        self.health.up(&format!("{count} partition{}", if count == 1 { "" } else { "s" }));
        self.health.reads(self.partitions.by_topic());
    }

    /// A command that claims partitions is sent.
    fn claim(&mut self, partitions: &[TopicPartition]) {
        self.partitions.claim(partitions);
        self.forget(partitions);
    }

    /// What was read of partitions that are to be claimed is read again from the checkpoint on.
    fn forget(&mut self, partitions: &[TopicPartition]) {
        self.batcher.forget(partitions);
        self.commits.handles.retain(|partition, _| !partitions.contains(partition));
    }

    /// Claims again what another process has claimed, if it is still assigned here.
    async fn claim_fenced(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        let due = self.claim_again.extract_if(.., |(at, _)| *at <= now);
        let due: BTreeSet<TopicPartition> =
            due.map(|(_, partition)| partition).filter(|known| self.partitions.is_unclaimed(known)).collect();
        if due.is_empty() {
            return Ok(());
        }
        let due: Vec<TopicPartition> = due.into_iter().collect();
        self.claim(&due);
        self.command(Command::Assign(due)).await
    }

    /// Starts the partitions whose checkpoints are claimed. A broker that has just come back may refuse for a while.
    async fn start(&mut self) -> anyhow::Result<()> {
        let starting = self.partitions.starting();
        if starting.is_empty() || Instant::now() < self.start_again_at {
            return Ok(());
        }
        let start = |(partition, next): &(TopicPartition, u64)| match next {
            0 => (partition.clone(), StartAt::Beginning),
            next => (partition.clone(), StartAt::Offset(*next)),
        };
        let starts: Vec<_> = starting.iter().map(start).collect();
        match self.subscription.start(&starts).await {
            Ok(()) => {}
            Err(error) if error.is_transient() => {
                self.health.down(&error.to_string());
                self.start_again_at = Instant::now() + Duration::from_millis(IDLE_WAIT_MS);
                return Ok(());
            }
            Err(error) => return Err(error).context("cannot start reading"),
        }
        self.partitions.started();
        // What the checkpoint stands for may have been stored and never committed.
        for (partition, next_offset) in starting {
            if let Some(handle) = self.subscription.handle_before(&partition, next_offset) {
                self.commits.handles.insert(partition, handle);
            }
        }
        self.report_assigned();
        // A full batch holds for the new partitions, too.
        if self.is_paused {
            self.subscription.pause(&self.partitions.all()).await.context("cannot pause")?;
        }
        Ok(())
    }

    /// The offsets of a partition began again: the broker was wiped, or the topic created again. Nothing of it counts until the
    /// keeper has claimed it again; then it is read from its beginning.
    async fn restart(&mut self, message: Message) -> anyhow::Result<()> {
        let partition = message.position.topic_partition;
        // What was read of the log before is nowhere else any more.
        let rest = self.batcher.take();
        if !rest.is_empty() {
            self.is_storing = true;
            self.command(Command::Write(rest)).await?;
        }
        self.claim(std::slice::from_ref(&partition));
        self.command(Command::Restart(partition)).await
    }

    /// A commit that fails transiently is repeated by the next one.
    async fn commit(&mut self) -> anyhow::Result<()> {
        self.commits.last_at = Instant::now();
        let handles: Vec<CommitHandle> = std::mem::take(&mut self.commits.handles).into_values().collect();
        if handles.is_empty() && !self.commits.is_owed {
            return Ok(());
        }
        let committed = self.subscription.commit(handles).await;
        self.commits.is_owed = committed.is_err();
        match committed {
            Ok(0) => Ok(()),
            Ok(stale) => {
                tracing::info!(stale, "partitions were revoked before their records were committed");
                Ok(())
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "a commit failed and is repeated with the next one");
                Ok(())
            }
            Err(error) => Err(error).context("cannot commit"),
        }
    }

    /// Before partitions leave, what was read of them is written and committed, within a deadline. Past it the new owner reads it
    /// again, and nothing is stored or applied twice.
    async fn revoke(&mut self, partitions: Vec<TopicPartition>) -> anyhow::Result<()> {
        tracing::info!(partitions = %listed(&partitions), "revoked");
        self.partitions.revoke(&partitions);
        self.report_assigned();
        let deadline = Instant::now() + Duration::from_millis(REVOKE_DEADLINE_MS);
        // What is taken from the batcher must reach the keeper: it holds records of partitions that stay, too, and their position
        // would move past what was dropped. So nothing is taken before the store stage is free, and what was revoked is left out.
        let is_free = async {
            while self.is_storing {
                let reply = self.replies.recv().await;
                self.take_reply(reply).await?;
            }
            anyhow::Ok(())
        };
        if let Ok(free) = timeout_at(deadline, is_free).await {
            free?;
            self.is_storing = true;
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
                    reply => self.take_reply(reply).await?,
                }
            }
        };
        if let Ok(saved) = timeout_at(deadline, saved).await {
            return saved;
        }
        tracing::warn!(
            "partitions left before their state was saved; the next owner makes it again from the log"
        );
        Ok(())
    }

    async fn write_if_due(&mut self) -> anyhow::Result<()> {
        if self.is_storing || self.batcher.is_empty() || !self.batcher.is_due(Instant::now()) {
            return Ok(());
        }
        self.is_storing = true;
        let batch = self.batcher.take();
        self.command(Command::Write(batch)).await
    }

    async fn pause_if_full(&mut self) -> anyhow::Result<()> {
        if self.batcher.room() > 0 || self.is_paused || !self.is_storing {
            return Ok(());
        }
        self.is_paused = true;
        self.subscription.pause(&self.partitions.all()).await.context("cannot pause")
    }

    async fn command(&mut self, command: Command<Batch<P::Event>>) -> anyhow::Result<()> {
        if self.commands.send(command).await.is_err() {
            return self.stage_ended().await;
        }
        Ok(())
    }

    /// The error of the stage that has ended, which explains the closed channel.
    async fn stage_ended(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.stages.join_next().await {
            ended.context("a stage of the processor panicked")??;
        }
        anyhow::bail!("the stages of the processor ended by themselves")
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
                reply => self.take_reply(reply).await?,
            }
        }
        self.commit().await?;
        let Self { commands, mut stages, replies, subscription, .. } = self;
        drop((commands, replies));
        while let Some(ended) = stages.join_next().await {
            ended.context("a stage of the processor panicked")??;
        }
        tracing::info!(processor = P::NAME, "everything read is stored and committed");
        subscription.leave().await;
        Ok(())
    }
}

fn listed(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
