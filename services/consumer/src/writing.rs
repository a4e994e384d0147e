//! Runs the two halves of writing beside the intake.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{EventLog, TopicPartition};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use crate::{
    batcher::Batch,
    commands::{Command, Ends, Inserted, Reply},
    inserter::Inserter,
    writer::Writer,
};

/// Between two looks for symbols that have gone quiet.
const ADVANCE_INTERVAL_MS: u64 = 1_000;
/// The log is asked from so long before a bar may be closed.
const LOOK_AHEAD_MS: i64 = 5_000;
/// An answer that took longer comes from a log that was away meanwhile.
const SLOW_ANSWER_MS: u64 = 1_000;

/// Commands that are done with inserting, and wait for the writer.
const MAX_INSERTED: usize = 1;

/// Where the partitions of these topics end. A log that does not answer, or hardly, tells nothing.
async fn ends(log: Arc<dyn EventLog>, topics: BTreeSet<Arc<str>>) -> Option<Ends> {
    let asked = Instant::now();
    let answer = log.topics().await;
    if asked.elapsed() > Duration::from_millis(SLOW_ANSWER_MS) {
        return None;
    }
    match answer {
        Ok(all) => {
            let wanted = all.iter().filter_map(|info| Some((topics.get(info.name.as_str())?, info)));
            let ends = wanted.flat_map(|(topic, info)| {
                let place = |partition| TopicPartition { topic: Arc::clone(topic), partition };
                (0..).map(place).zip(info.partitions.iter().map(|(_, end)| *end))
            });
            Some(ends.collect())
        }
        Err(error) => {
            tracing::debug!(%error, "cannot tell whether a symbol is quiet");
            None
        }
    }
}

/// Runs the inserter and, behind it, the writer until they have finished, or one of them for good fails.
pub(crate) async fn write(
    inserter: Inserter,
    writer: Writer,
    log: Arc<dyn EventLog>,
    commands: mpsc::Receiver<Command<Batch>>,
    replies: mpsc::Sender<Reply>,
) -> anyhow::Result<()> {
    let (inserted, receive_inserted) = mpsc::channel(MAX_INSERTED);
    let mut both = JoinSet::new();
    both.spawn(inserter.run(commands, inserted, replies.clone()));
    both.spawn(write_loop(writer, log, receive_inserted, replies));
    while let Some(ended) = both.join_next().await {
        ended.context("it panicked")??;
    }
    Ok(())
}

async fn write_loop(
    mut writer: Writer,
    log: Arc<dyn EventLog>,
    mut commands: mpsc::Receiver<Command<Inserted>>,
    replies: mpsc::Sender<Reply>,
) -> anyhow::Result<()> {
    let mut advance = tokio::time::interval(Duration::from_millis(ADVANCE_INTERVAL_MS));
    advance.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // One question at a time, asked aside: an answer may take seconds, and the writer has better to do.
    let mut asked: Option<DateTime<Utc>> = None;
    let mut asking = JoinSet::new();
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            Some(ends) = asking.join_next() => {
                match (asked.take(), ends) {
                    (Some(now), Ok(Some(ends))) => writer.advance(now, &ends).await?,
                    // Ticks could not come: what a producer has kept meanwhile shall find its bars open.
                    _ => writer.nobody_is_quiet(),
                }
                continue;
            }
            _ = advance.tick() => {
                writer.checkpoint().await?;
                if asked.is_some() {
                    continue;
                }
                let now = writer.now();
                // Asked early, so that a log that was away just before is noticed.
                let soon = now + TimeDelta::milliseconds(LOOK_AHEAD_MS);
                let topics: BTreeSet<_> = writer.quiet(soon).into_iter().map(|place| place.topic).collect();
                if !topics.is_empty() {
                    asked = Some(now);
                    asking.spawn(ends(Arc::clone(&log), topics));
                }
                continue;
            }
        };
        let reply = match command {
            None => return writer.checkpoint().await,
            Some(Command::Assign(partitions)) => Reply::Assigned(writer.assign(&partitions).await?),
            Some(Command::BeginAnew(partition)) => Reply::Assigned(writer.begin_anew(partition).await?),
            Some(Command::Committed(partitions)) => {
                writer.committed(&partitions);
                continue;
            }
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
