//! The live store as a whole: the sum of its nouns.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use job_runner::JobStore;
use market::{Candle, Symbol};

use crate::{CandleStore, Checkpoint, CheckpointStore, Result, TickStore};

/// The store of what is live: every noun has a trait of its own. Writes are repeatable, because every row has an identity
/// derived from its content, and there is no transaction across calls: an effect is written first, then the checkpoint
/// that stands for it.
#[async_trait]
pub trait LiveStore: TickStore + CandleStore + CheckpointStore + JobStore {
    /// Every symbol of which ticks or candles are stored, in order. [`TickStore::latest_ticks`] lacks those whose ticks
    /// were pruned and whose candles are kept.
    async fn symbols(&self) -> Result<Vec<Symbol>> {
        let mut symbols = self.tick_symbols().await?;
        symbols.extend(self.candle_symbols().await?);
        symbols.sort_unstable();
        symbols.dedup();
        Ok(symbols)
    }

    /// Prunes ticks and one-minute candles, see [`TickStore::prune_ticks`] and [`CandleStore::prune_candles`].
    async fn prune(&self, before: DateTime<Utc>) -> Result<Pruned> {
        Ok(Pruned { ticks: self.prune_ticks(before).await?, candles: self.prune_candles(before).await? })
    }

    /// Stores candles, then checkpoints, whoever owns their partitions. To be removed: call
    /// [`LiveStore::write_candles`], then [`CheckpointStore::save_checkpoints`].
    async fn write_progress(&self, candles: &[Candle], checkpoints: &[Checkpoint]) -> Result<()> {
        self.write_candles(candles).await?;
        for checkpoint in checkpoints {
            let known = self.checkpoints(&checkpoint.processor).await?;
            let known = known
                .iter()
                .find(|known| known.topic == checkpoint.topic && known.partition == checkpoint.partition);
            match known {
                Some(known) if known.generation > 0 => {
                    let checkpoint = Checkpoint { generation: known.generation, ..checkpoint.clone() };
                    self.save_checkpoints(&[checkpoint]).await?;
                }
                _ => self.reset_checkpoints(std::slice::from_ref(checkpoint)).await?,
            }
        }
        Ok(())
    }

    /// Stores checkpoints whatever offsets they replace. To be removed: claim, then save.
    async fn reset_checkpoints(&self, checkpoints: &[Checkpoint]) -> Result<()> {
        for checkpoint in checkpoints {
            let partition = (checkpoint.topic.as_str().into(), checkpoint.partition);
            for claimed in self.claim(&checkpoint.processor, &[partition]).await? {
                let checkpoint = Checkpoint { generation: claimed.generation, ..checkpoint.clone() };
                self.save_checkpoints(&[checkpoint]).await?;
            }
        }
        Ok(())
    }
}

impl<Store: TickStore + CandleStore + CheckpointStore + JobStore> LiveStore for Store {}

/// What a pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ticks.
    pub ticks: u64,
    /// One-minute bars.
    pub candles: u64,
}
