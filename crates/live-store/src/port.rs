//! The verbs of the port.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Candle, Symbol};

use crate::{
    CandleQuery, Checkpoint, CheckpointStore, Pruned, Result, StoredTick, TickOutcome, TickPage, TickQuery,
};

/// The store of what is live.
///
/// # Contract
/// - Writes are repeatable: every row has an identity derived from what it says. There are no transactions across
///   calls; a batch that failed may be sent again whole.
/// - When a write has returned, its rows are there after `kill -9`.
/// - Prices come back exactly as they went in (up to 15 significant digits).
#[async_trait]
pub trait LiveStore: CheckpointStore {
    /// Stores ticks under `source:symbol:seq`; those already there stay as they are. One outcome for each, in order;
    /// a repeat within the batch is a [`TickOutcome::Duplicate`].
    async fn write_ticks(&self, ticks: &[StoredTick]) -> Result<Vec<TickOutcome>>;

    /// Stores candles, replacing those of the same identity.
    async fn write_candles(&self, candles: &[Candle]) -> Result<()>;

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

    /// Every symbol of which ticks or bars are stored, in order. [`LiveStore::latest_ticks`] does not know those whose
    /// ticks were pruned and whose bars are kept.
    async fn symbols(&self) -> Result<Vec<Symbol>>;

    /// A page of ticks.
    async fn ticks(&self, query: &TickQuery) -> Result<TickPage>;

    /// The newest tick of every symbol, by symbol.
    async fn latest_ticks(&self) -> Result<Vec<StoredTick>>;

    /// Bars as stored, of all sources, by (time, source); the newest `limit` of the range.
    async fn candles(&self, query: &CandleQuery) -> Result<Vec<Candle>>;

    /// Removes ticks and one-minute bars that both happened and were stored before `before`, in bounded steps: a
    /// recording of years ago that was played today is kept.
    async fn prune(&self, before: DateTime<Utc>) -> Result<Pruned>;
}
