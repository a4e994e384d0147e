//! The live store: ticks, candles, and how far a stream processor has come. One port; adapters behind [`open`].
//!
//! Names follow the collections of the design: `realtime_prices`, `candles`, `checkpoints`.

mod best;
mod check;
mod checkpoints;
mod cursor;
mod error;
mod model;
mod mongo;
mod open;
mod port;
mod settings;
mod sqlite;

pub use best::{MAX_BEST_CANDLES, best_candles};
pub use check::{StoreCheck, check};
pub use checkpoints::{Checkpoint, CheckpointStore};
pub use error::LiveStoreError;
pub use model::{
    CandleQuery, MAX_CANDLES, MAX_PAGE_TICKS, Migration, Pruned, StoredTick, TickOutcome, TickPage, TickQuery,
};
pub use open::{migrate, open};
pub use port::LiveStore;
pub use settings::{StorePassword, StoreSettings};

/// Result of this crate.
pub type Result<T, E = LiveStoreError> = std::result::Result<T, E>;
