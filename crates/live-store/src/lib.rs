//! The live store: ticks, candles, how far each stream processor is, and which days the batch has to compute again. A folder for each noun, with its trait and both
//! adapters; [`open`] chooses the adapter by URL.
//!
//! Names follow the collections of the design: `realtime_prices`, `candles`, `checkpoints`.

mod candles;
mod check;
mod checkpoints;
mod error;
mod jobs;
mod migration;
mod mongo;
mod open;
mod port;
mod settings;
mod sqlite;
mod stale_days;
mod ticks;

pub use candles::{CandleQuery, CandleStore, MAX_BEST_CANDLES, MAX_CANDLES, best_candles, settle_candles};
pub use check::{StoreCheck, check};
pub use checkpoints::{Checkpoint, CheckpointStore, DayCompleteness, PartitionBehind, day_completeness};
pub use error::LiveStoreError;
pub use migration::Migration;
pub use open::{migrate, open, open_alone};
pub use port::{CloseStore, LiveStore, PruneRange, Pruned, SizeStore, StoreSize, TICK_BYTES};
pub use settings::{StorePassword, StoreSettings};
pub use stale_days::{StaleDay, StaleDayStore, mark_complete_days};
pub use ticks::{
    MAX_PAGE_TICKS, StoredTick, TickOutcome, TickPage, TickQuery, TickStore, all_ticks_of_day, ticks_of_day,
};

/// Result of this crate.
pub type Result<T, E = LiveStoreError> = std::result::Result<T, E>;
