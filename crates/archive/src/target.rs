//! The store that is written to. What is there stays; what was written is read back and compared.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use live_store::{Checkpoint, LiveStore, StoredTick, TickOutcome};
use market::{Candle, CandleSource, Source, Tick};

use crate::{
    ArchiveError, Result,
    pages::{CandlePages, PAGE_ROWS, TickPages, patiently, range_of},
};

/// What became of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ticks that were not there before; read back and equal.
    pub ticks_new: u64,
    /// Ticks that were there, equal.
    pub ticks_there: u64,
    /// Ticks of which the target has another version (of another delivery), which stays.
    pub ticks_kept: u64,
    /// Bars that were not there before, or not finished; read back and equal.
    pub candles_new: u64,
    /// Bars that were there, equal.
    pub candles_there: u64,
    /// Bars of which the target has another version, at least as complete, which stays.
    pub candles_kept: u64,
    /// Checkpoints.
    pub checkpoints: u64,
}

impl Counts {
    /// Ticks the target holds now.
    pub fn ticks(&self) -> u64 {
        self.ticks_new + self.ticks_there + self.ticks_kept
    }

    /// Bars the target holds now.
    pub fn candles(&self) -> u64 {
        self.candles_new + self.candles_there + self.candles_kept
    }
}

pub(crate) struct Target<'a> {
    store: &'a dyn LiveStore,
    pub(crate) counts: Counts,
}

impl<'a> Target<'a> {
    pub(crate) fn new(store: &'a dyn LiveStore) -> Self {
        Self { store, counts: Counts::default() }
    }

    /// Stores at most a page of ticks, and looks whether they are there.
    pub(crate) async fn ticks(&mut self, rows: &[StoredTick]) -> Result<()> {
        debug_assert!(rows.len() <= PAGE_ROWS);
        let outcomes = patiently(|| self.store.write_ticks(rows)).await?;
        let mut outcomes = outcomes.into_iter();
        for of_symbol in rows.chunk_by(|one, other| one.tick.symbol == other.tick.symbol) {
            let outcomes: Vec<_> = outcomes.by_ref().take(of_symbol.len()).collect();
            self.look_for_ticks(of_symbol, &outcomes).await?;
        }
        Ok(())
    }

    async fn look_for_ticks(&mut self, rows: &[StoredTick], outcomes: &[TickOutcome]) -> Result<()> {
        let Some(first) = rows.first() else { return Ok(()) };
        let identity = |tick: &Tick| -> (Source, u64) { (tick.source, tick.seq) };
        let mut wanted: HashMap<_, _> =
            rows.iter().zip(outcomes).map(|(row, outcome)| (identity(&row.tick), (row, *outcome))).collect();
        let (from, to) = range_of(rows.iter().map(|row| row.tick.timestamp));
        let mut pages = TickPages::new(first.tick.symbol, from, to, None);
        while !wanted.is_empty()
            && let Some(found) = pages.next(self.store).await?
        {
            for found in &found {
                let Some((row, outcome)) = wanted.remove(&identity(&found.tick)) else { continue };
                match (found == row, outcome) {
                    (true, TickOutcome::New) => self.counts.ticks_new += 1,
                    (true, _) => self.counts.ticks_there += 1,
                    (false, TickOutcome::New) => {
                        let id = row.tick.id();
                        return Err(ArchiveError::ReadBack(format!("the tick {id} is another")));
                    }
                    (false, _) => self.counts.ticks_kept += 1,
                }
            }
        }
        // Another version may also lie at another time. The store said that it is there.
        for (row, outcome) in wanted.into_values() {
            if outcome != TickOutcome::Duplicate {
                return Err(ArchiveError::ReadBack(format!("the tick {} is missing", row.tick.id())));
            }
            self.counts.ticks_kept += 1;
        }
        Ok(())
    }

    /// Stores at most a page of bars where the target has none or a less complete one, and looks whether they are there.
    pub(crate) async fn candles(&mut self, bars: &[Candle]) -> Result<()> {
        debug_assert!(bars.len() <= PAGE_ROWS);
        let mut missing = Vec::new();
        for group in groups(bars) {
            let there = self.find_candles(group).await?;
            for bar in group {
                match there.get(&(bar.time, bar.source)) {
                    Some(known) if known == bar => self.counts.candles_there += 1,
                    Some(known) if !is_more_complete(bar, known) => self.counts.candles_kept += 1,
                    _ => missing.push(*bar),
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        patiently(|| self.store.write_candles(&missing)).await?;
        for group in groups(&missing) {
            let there = self.find_candles(group).await?;
            if let Some(bar) = group.iter().find(|bar| there.get(&(bar.time, bar.source)) != Some(bar)) {
                return Err(ArchiveError::ReadBack(format!("the bar {} is missing or another", bar.id())));
            }
        }
        self.counts.candles_new += missing.len() as u64;
        Ok(())
    }

    /// Those of the same identities that the target holds.
    async fn find_candles(&self, group: &[Candle]) -> Result<HashMap<(DateTime<Utc>, CandleSource), Candle>> {
        let mut found = HashMap::new();
        let Some(first) = group.first() else { return Ok(found) };
        let wanted: std::collections::HashSet<_> = group.iter().map(|bar| (bar.time, bar.source)).collect();
        let (from, to) = range_of(group.iter().map(|bar| bar.time));
        let mut pages = CandlePages::new(first.symbol, first.interval, from, to);
        while let Some(bars) = pages.next(self.store).await? {
            let bars = bars.into_iter().map(|bar| ((bar.time, bar.source), bar));
            found.extend(bars.filter(|(identity, _)| wanted.contains(identity)));
        }
        Ok(found)
    }

    /// Refuses checkpoints that would move the target's own.
    pub(crate) async fn check_checkpoints(&self, coming: &[Checkpoint]) -> Result<()> {
        for checkpoint in coming {
            let Checkpoint { processor, topic, partition, next_offset, .. } = checkpoint;
            let there = self.find_checkpoint(checkpoint).await?;
            if let Some(there) = there.filter(|there| there.next_offset < *next_offset) {
                return Err(ArchiveError::Checkpoints(format!(
                    "the target has its own, {processor} is at offset {} of {topic}[{partition}]",
                    there.next_offset
                )));
            }
        }
        Ok(())
    }

    /// After all ticks and bars that they stand for.
    pub(crate) async fn checkpoints(&mut self, coming: &[Checkpoint]) -> Result<()> {
        self.check_checkpoints(coming).await?;
        patiently(|| self.store.write_progress(&[], coming)).await?;
        for checkpoint in coming {
            let there = self.find_checkpoint(checkpoint).await?;
            if there.is_none_or(|there| there.next_offset < checkpoint.next_offset) {
                return Err(ArchiveError::ReadBack(format!("the checkpoint of {}", checkpoint.topic)));
            }
            self.counts.checkpoints += 1;
        }
        Ok(())
    }

    async fn find_checkpoint(&self, like: &Checkpoint) -> Result<Option<Checkpoint>> {
        let all = patiently(|| self.store.checkpoints(&like.processor)).await?;
        Ok(all.into_iter().find(|known| known.topic == like.topic && known.partition == like.partition))
    }
}

/// Bars of one symbol and width that follow each other.
fn groups(bars: &[Candle]) -> impl Iterator<Item = &[Candle]> {
    bars.chunk_by(|one, other| (one.symbol, one.interval) == (other.symbol, other.interval))
}

/// A finished bar never gives way; an unfinished one does to a finished one, or to one that knows of more ticks.
fn is_more_complete(coming: &Candle, there: &Candle) -> bool {
    !there.is_final && (coming.is_final || coming.ticks > there.ticks)
}
