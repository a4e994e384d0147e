//! The live store as a whole: the sum of its nouns.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use job_runner::JobStore;
use market::Symbol;
use owed_mails::MailStore;

use crate::{
    AlertFactStore, AlertHistoryStore, AlertRuleStore, CandleStore, CheckpointStore, DigestStore, NewsStore,
    Result, SessionStore, TickStore, TokenStore, UserStore,
};

/// The store of what is live: every noun has a trait of its own. Writes are repeatable, because every row has an identity
/// derived from its content, and there is no transaction across calls: an effect is written first, then the checkpoint
/// that stands for it.
#[async_trait]
pub trait LiveStore:
    TickStore
    + CandleStore
    + CheckpointStore
    + JobStore
    + MailStore
    + AlertRuleStore
    + AlertHistoryStore
    + AlertFactStore
    + UserStore
    + SessionStore
    + TokenStore
    + NewsStore
    + DigestStore
    + CloseStore
{
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
}

impl<Store> LiveStore for Store where
    Store: TickStore
        + CandleStore
        + CheckpointStore
        + JobStore
        + MailStore
        + AlertRuleStore
        + AlertHistoryStore
        + AlertFactStore
        + UserStore
        + SessionStore
        + TokenStore
        + NewsStore
        + DigestStore
        + CloseStore
{
}

/// The end of a store.
#[async_trait]
pub trait CloseStore: Send + Sync {
    /// Closes the store in order, whoever else has it: later calls fail. An embedded store moves everything into its file, so
    /// that a copy of that file alone is whole. For the end of a process; without it nothing that was written is lost.
    async fn close(&self) -> Result<()>;
}

/// What a pruning removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ticks.
    pub ticks: u64,
    /// One-minute candles.
    pub candles: u64,
}
