//! Ticks and checkpoints that are accepted and not in the file yet. A page of the file is written whole however few ticks it
//! gets, and the ticks of different symbols are in different pages: many ticks at once write a fraction of what the same ticks
//! write one by one.
//!
//! The event log has these ticks until it expires them. A checkpoint goes into the file in one transaction with the ticks
//! before it, so that what is lost with the process is read again from the log.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{NaiveDate, SubsecRound};
use market::Symbol;
use tokio::sync::Mutex;

use super::SqliteStore;
use crate::{
    Checkpoint, Result, StaleDay, StoredTick, TickOutcome,
    ticks::{Arrival, Identity, identity},
};

/// Most ticks in the buffer: at 2,000 ticks/s those of a second.
const MAX_TICKS: usize = 2_048;
/// Most marked days in the buffer.
const MAX_MARKED_DAYS: usize = 2_048;
/// Batches from this size on go into the file.
const DIRECT_TICKS: usize = 512;
/// How long ticks and checkpoints stay in the buffer while others come.
const MAX_AGE: Duration = Duration::from_mins(1);

/// Processor, topic and partition.
type CheckpointKey = (String, String, i32);

/// What is in the buffer. Locked while it is moved into the file.
#[derive(Default)]
pub(crate) struct Buffer(Mutex<Buffered>);

#[derive(Default)]
pub(crate) struct Buffered {
    /// In the order of arrival.
    ticks: Vec<StoredTick>,
    arrivals: HashMap<Identity, Arrival>,
    checkpoints: BTreeMap<CheckpointKey, Checkpoint>,
    /// What is added to the marks in the file: they go there with the ticks that they stand for.
    marked: BTreeMap<(Symbol, NaiveDate), StaleDay>,
    since: Option<Instant>,
}

impl Buffered {
    fn is_due(&self, more: usize) -> bool {
        self.ticks.len() + more > MAX_TICKS || self.since.is_some_and(|since| since.elapsed() >= MAX_AGE)
    }
}

impl SqliteStore {
    /// The ticks in the buffer that a test holds for, in the order of arrival.
    pub(crate) async fn buffered_ticks(&self, wanted: impl Fn(&StoredTick) -> bool) -> Vec<StoredTick> {
        let Some(Buffer(buffer)) = &self.buffer else { return Vec::new() };
        buffer.lock().await.ticks.iter().filter(|tick| wanted(tick)).copied().collect()
    }

    /// Moves the buffer into the file.
    pub(crate) async fn flush(&self) -> Result<()> {
        match &self.buffer {
            Some(Buffer(buffer)) => self.flush_locked(&mut *buffer.lock().await).await,
            None => Ok(()),
        }
    }

    async fn flush_locked(&self, buffered: &mut Buffered) -> Result<()> {
        if buffered.ticks.is_empty() && buffered.checkpoints.is_empty() && buffered.marked.is_empty() {
            return Ok(());
        }
        let mut writing = self.begin().await?;
        self.insert_in(&mut writing, &buffered.ticks).await?;
        for day in buffered.marked.values() {
            self.mark_on(writing.connection(), day).await?;
        }
        for checkpoint in buffered.checkpoints.values() {
            self.save(writing.connection(), checkpoint).await?;
        }
        writing.commit().await?;
        *buffered = Buffered::default();
        Ok(())
    }

    /// Accepts ticks: into the buffer, or with the buffer into the file.
    pub(crate) async fn accept_ticks(
        &self,
        Buffer(buffer): &Buffer,
        ticks: &[StoredTick],
    ) -> Result<Vec<TickOutcome>> {
        let mut buffered = buffer.lock().await;
        let is_direct = ticks.len() >= DIRECT_TICKS;
        if is_direct || buffered.is_due(ticks.len()) {
            self.flush_locked(&mut buffered).await?;
        }
        if is_direct {
            return self.insert_ticks(ticks).await;
        }
        let mut outcomes = Vec::with_capacity(ticks.len());
        let mut seen = HashSet::with_capacity(ticks.len());
        let stored = self.stored_arrivals(ticks).await?;
        let Buffered { ticks: accepted, arrivals, since, .. } = &mut *buffered;
        for row in ticks {
            let identity = identity(&row.tick);
            if !seen.insert(identity) {
                outcomes.push(TickOutcome::Duplicate);
                continue;
            }
            let known = arrivals.get(&identity).or_else(|| stored.get(&identity));
            outcomes.push(known.map_or(TickOutcome::New, |arrival| arrival.outcome_for(row)));
            if known.is_none() {
                let row = as_in_file(row);
                arrivals.insert(identity, Arrival::of(&row));
                accepted.push(row);
                since.get_or_insert_with(Instant::now);
            }
        }
        Ok(outcomes)
    }

    /// Accepts marks of days; see [`crate::StaleDayStore::mark_stale`].
    pub(crate) async fn accept_marks(
        &self,
        Buffer(buffer): &Buffer,
        days: impl Iterator<Item = StaleDay>,
    ) -> Result<()> {
        let mut buffered = buffer.lock().await;
        if buffered.is_due(0) || buffered.marked.len() > MAX_MARKED_DAYS {
            self.flush_locked(&mut buffered).await?;
        }
        for day in days {
            let marks = buffered.marked.get(&(day.symbol, day.date)).map_or(0, |known| known.marks);
            let marked = StaleDay { marks: marks + day.marks, ..day };
            buffered.marked.insert((day.symbol, day.date), marked);
        }
        buffered.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Accepts checkpoints; see [`crate::CheckpointStore::save_checkpoints`].
    pub(crate) async fn accept_checkpoints(
        &self,
        Buffer(buffer): &Buffer,
        checkpoints: &[Checkpoint],
    ) -> Result<Vec<usize>> {
        let mut buffered = buffer.lock().await;
        if buffered.is_due(0) {
            self.flush_locked(&mut buffered).await?;
        }
        let mut refused = Vec::new();
        let mut accepted = Vec::new();
        for (index, checkpoint) in checkpoints.iter().enumerate() {
            // What the file cannot hold is refused now, not when it is moved.
            self.signed_numbers(checkpoint)?;
            self.caught_up_text(checkpoint)?;
            let Checkpoint { processor, topic, partition, generation, .. } = checkpoint;
            let key = (processor.clone(), topic.clone(), *partition);
            match buffered.checkpoints.get(&key).filter(|known| known.generation == *generation) {
                // A delayed write.
                Some(known) if known.next_offset > checkpoint.next_offset => {}
                Some(_) => accepted.push((key, checkpoint.clone())),
                None if self.is_owner(checkpoint).await? => accepted.push((key, checkpoint.clone())),
                None => refused.push(index),
            }
        }
        if !accepted.is_empty() {
            buffered.since.get_or_insert_with(Instant::now);
        }
        buffered.checkpoints.extend(accepted);
        Ok(refused)
    }
}

/// The tick as the file returns it. The times of the tick itself are in microseconds already.
fn as_in_file(row: &StoredTick) -> StoredTick {
    StoredTick { processed_at: row.processed_at.trunc_subsecs(6), ..*row }
}
