//! A live store and an analytics store of their own, and ticks for them.

use std::sync::Arc;

use analytics_store::{AnalyticsStore, DailyAggregate, RowQuery};
use batch::{BatchArgs, BatchCommand, BatchConfig, Outcome, execute};
use chrono::{DateTime, NaiveDate, Utc};
use clap::Parser;
use live_store::{LiveStore, StoredTick};
use market::{Source, Symbol, Tick, TickFields, decimal_from_f64};
use rust_decimal::Decimal;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) struct Stores {
    pub(crate) live: Arc<dyn LiveStore>,
    pub(crate) analytics: Arc<AnalyticsStore>,
    _folder: TempDir,
}

impl Stores {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let live = live_store::open(&url("store.db")).await.unwrap();
        let analytics = Arc::new(analytics_store::open(&url("analytics.db")).await.unwrap());
        Self { live, analytics, _folder: folder }
    }

    pub(crate) async fn execute(&self, command: BatchCommand) -> anyhow::Result<Outcome> {
        self.execute_with(&[], command).await
    }

    /// With flags.
    pub(crate) async fn execute_with(
        &self,
        flags: &[&str],
        command: BatchCommand,
    ) -> anyhow::Result<Outcome> {
        let (live, analytics) = (Arc::clone(&self.live), Arc::clone(&self.analytics));
        execute(command, config(flags), live, analytics, "test", CancellationToken::new()).await
    }

    pub(crate) async fn run(&self) -> Outcome {
        self.execute(BatchCommand::Run { date: None, symbol: None, dry_run: false }).await.unwrap()
    }

    pub(crate) async fn daily(&self, symbol: Symbol) -> Vec<DailyAggregate> {
        self.analytics.rows(&RowQuery::newest(Some(symbol), 10_000)).await.unwrap()
    }
}

/// The settings of a command line.
pub(crate) fn config(flags: &[&str]) -> BatchConfig {
    let line =
        ["batch", "--store", "sqlite:x", "--analytics", "sqlite:y"].iter().chain(flags).chain(&["prune"]);
    BatchArgs::parse_from(line).batch
}

pub(crate) fn symbol(name: &str) -> Symbol {
    Symbol::parse(name).unwrap()
}

pub(crate) fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub(crate) fn decimal(number: f64) -> Decimal {
    decimal_from_f64(number).unwrap()
}

/// A tick of a symbol; the volume is the running total.
pub(crate) fn tick(
    symbol: Symbol,
    timestamp: DateTime<Utc>,
    price: f64,
    volume: u32,
    seq: u64,
) -> StoredTick {
    let price = decimal(price);
    let tick = Tick::new(TickFields {
        symbol,
        timestamp,
        price,
        volume: Decimal::from(volume),
        open: price,
        high: price,
        low: price,
        size: None,
        change_percent: 0.0,
        source: Source::parse("replay").unwrap(),
        received_at: timestamp,
        seq,
    });
    StoredTick { tick: tick.unwrap(), processed_at: timestamp, partition: 0, offset: seq }
}
