//! The live store as a whole: the sum of its nouns.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use job_runner::JobStore;
use market::Symbol;
use owed_mails::MailStore;

use crate::{
    AlertFactStore, AlertHistoryStore, AlertRuleStore, CandleStore, CheckpointStore, DigestStore,
    FeedCircuitStore, GapStore, KeyCallStore, NewsStore, Result, SessionStore, StaleDayStore, TickStore,
    TokenStore, UserStore,
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
    + StaleDayStore
    + GapStore
    + FeedCircuitStore
    + KeyCallStore
    + SizeStore
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
    async fn prune(&self, range: &PruneRange) -> Result<Pruned> {
        Ok(Pruned { ticks: self.prune_ticks(range).await?, candles: self.prune_candles(range).await? })
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
        + StaleDayStore
        + GapStore
        + FeedCircuitStore
        + KeyCallStore
        + SizeStore
        + CloseStore
{
}

/// How large a store is.
#[async_trait]
pub trait SizeStore: Send + Sync {
    /// Its size now.
    async fn size(&self) -> Result<StoreSize>;
}

/// The size of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSize {
    /// Bytes on disk that hold rows and indexes; free pages do not count, although their file keeps them.
    pub bytes: u64,
    /// Bytes of the rows themselves. They fall at once with rows that are removed, the others maybe minutes later.
    pub row_bytes: u64,
    /// The server does not report its size: these are the rows times [`TICK_BYTES`].
    pub is_estimate: bool,
}

/// Bytes that a tick takes with its indexes, about.
pub const TICK_BYTES: u64 = 200;

/// Which ticks and one-minute candles to remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneRange {
    /// Of this symbol.
    pub symbol: Symbol,
    /// What happened from this time on, inclusive.
    pub from: DateTime<Utc>,
    /// To this time, exclusive.
    pub to: DateTime<Utc>,
    /// And was stored before this time: a recording of years ago that was replayed today is kept.
    pub stored_before: DateTime<Utc>,
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
