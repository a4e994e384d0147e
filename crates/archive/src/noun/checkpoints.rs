//! Checkpoints of all processors. They stand for all ticks and candles before them.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use live_store::Checkpoint;
use serde::{Deserialize, Serialize};

use super::{Noun, PageOf, Pages, Source};
use crate::{
    ArchiveError, Kind, Result, json,
    pages::patiently,
    target::{RowCounts, Target},
};

impl Kind {
    /// How far the stream processors were.
    pub const CHECKPOINTS: Self = Self::new("checkpoints");
}

pub(super) struct Checkpoints;

/// They are one page, so that behind it nothing is left.
#[derive(Serialize, Deserialize)]
pub(super) struct Place {}

pub(super) struct OnePage {
    is_read: bool,
}

#[async_trait]
impl Noun for Checkpoints {
    type Row = Checkpoint;
    type Place = Place;
    type Pages = OnePage;

    const KIND: Kind = Kind::CHECKPOINTS;
    const STANDS_FOR_OTHERS: bool = true;

    async fn pages(_source: &Source<'_>, after: Option<Place>) -> Result<OnePage> {
        Ok(OnePage { is_read: after.is_some() })
    }

    fn encode(checkpoint: &Checkpoint, text: &mut Vec<u8>) -> serde_json::Result<()> {
        // A generation counts the owners in one store, and is no part of an archive.
        let Checkpoint {
            processor,
            topic,
            partition,
            generation: _,
            next_offset,
            log_identity,
            caught_up_at,
            state,
        } = checkpoint.clone();
        let row =
            CheckpointRow { processor, topic, partition, next_offset, log_identity, caught_up_at, state };
        serde_json::to_writer(&mut *text, &row)?;
        text.push(b'\n');
        Ok(())
    }

    fn decode(line: &str) -> Result<Checkpoint, String> {
        let row: CheckpointRow = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let CheckpointRow { processor, topic, partition, next_offset, log_identity, caught_up_at, state } =
            row;
        let generation = 0;
        Ok(Checkpoint {
            processor,
            topic,
            partition,
            generation,
            next_offset,
            log_identity,
            caught_up_at,
            state,
        })
    }

    async fn check(coming: &[Checkpoint], target: &Target<'_>) -> Result<()> {
        missing(coming, target).await.map(drop)
    }

    /// Claims the partitions of what the target lacks, then saves.
    async fn store(coming: &[Checkpoint], target: &mut Target<'_>) -> Result<()> {
        let mut lacking = missing(coming, target).await?;
        for of_processor in lacking.chunk_by_mut(|one, other| one.processor == other.processor) {
            let partitions: Vec<(Arc<str>, i32)> = of_processor
                .iter()
                .map(|checkpoint| (checkpoint.topic.as_str().into(), checkpoint.partition))
                .collect();
            let Some(processor) = of_processor.first().map(|first| first.processor.clone()) else { continue };
            let claimed = patiently(|| target.store.claim(&processor, &partitions)).await?;
            for (checkpoint, claimed) in of_processor.iter_mut().zip(claimed) {
                checkpoint.generation = claimed.generation;
            }
        }
        let refused = patiently(|| target.store.save_checkpoints(&lacking)).await?;
        if let Some(checkpoint) = refused.first().and_then(|index| lacking.get(*index)) {
            let Checkpoint { processor, topic, partition, .. } = checkpoint;
            return Err(ArchiveError::Checkpoints(format!(
                "another process has claimed {topic}[{partition}] of {processor} meanwhile"
            )));
        }
        if !missing(coming, target).await?.is_empty() {
            return Err(ArchiveError::ReadBack("a checkpoint is missing".to_owned()));
        }
        let new = lacking.len() as u64;
        let counts = RowCounts { new, there: coming.len() as u64 - new, kept: 0 };
        target.counts.add(Kind::CHECKPOINTS, counts);
        Ok(())
    }
}

/// The checkpoints that the target does not have. Those that it has stay, and may be further.
async fn missing(coming: &[Checkpoint], target: &Target<'_>) -> Result<Vec<Checkpoint>> {
    let there = patiently(|| target.store.all_checkpoints()).await?;
    let mut missing = Vec::new();
    // One that was claimed and never saved stands for nothing.
    for checkpoint in coming.iter().filter(|checkpoint| !is_new(checkpoint)) {
        let Checkpoint { processor, topic, partition, next_offset, .. } = checkpoint;
        let known = there.iter().find(|known| {
            (&known.processor, &known.topic, known.partition) == (processor, topic, *partition)
        });
        match known {
            Some(known) if known.next_offset >= *next_offset && !is_new(known) => {}
            Some(known) if !is_new(known) => {
                return Err(ArchiveError::Checkpoints(format!(
                    "the target has its own, {processor} is at offset {} of {topic}[{partition}]",
                    known.next_offset
                )));
            }
            // None, or one that an import which was stopped has claimed and not saved.
            _ => missing.push(checkpoint.clone()),
        }
    }
    Ok(missing)
}

/// Nothing was saved in it yet.
fn is_new(checkpoint: &Checkpoint) -> bool {
    checkpoint.next_offset == 0 && checkpoint.state.is_empty()
}

#[async_trait]
impl Pages<Checkpoints> for OnePage {
    async fn next(&mut self, source: &Source<'_>) -> Result<Option<PageOf<Checkpoints>>> {
        if std::mem::replace(&mut self.is_read, true) {
            return Ok(None);
        }
        let rows = patiently(|| source.store.all_checkpoints()).await?;
        Ok(Some(PageOf { rows, part: "all".to_owned(), end: Place {} }))
    }
}

#[derive(Serialize, Deserialize)]
struct CheckpointRow {
    processor: String,
    topic: String,
    partition: i32,
    next_offset: u64,
    // Archives of before do not have these two.
    #[serde(default)]
    log_identity: Option<String>,
    #[serde(default, deserialize_with = "json::optional_time")]
    caught_up_at: Option<DateTime<Utc>>,
    state: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_an_archive_of_before_is_read() {
        let line = r#"{"processor":"consumer","topic":"stock-prices","partition":1,"next_offset":4711,"state":"{}"}"#;
        let old = Checkpoints::decode(line).expect("a checkpoint");
        assert_eq!((old.next_offset, old.generation, &*old.state), (4711, 0, "{}"));
        assert_eq!((&old.log_identity, old.caught_up_at), (&None, None));
        let mut text = Vec::new();
        Checkpoints::encode(&old, &mut text).expect("written");
        assert_eq!(Checkpoints::decode(str::from_utf8(&text).expect("text")).expect("a checkpoint"), old);
    }
}
