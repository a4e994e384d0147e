//! The live store: ticks, candles, news, how far each stream processor is, and what else the services keep. A folder for each noun, with its trait and both
//! adapters; [`open`] chooses the adapter by URL.
//!
//! Names follow the collections of the design: `realtime_prices`, `candles`, `checkpoints`, `mails`, `news_articles`.

mod alert_facts;
mod alert_history;
mod alert_rules;
mod candles;
mod check;
mod checkpoints;
mod digests;
mod error;
mod feed_circuits;
mod gaps;
mod jobs;
mod key_calls;
mod mails;
mod migration;
mod mongo;
mod news;
mod open;
mod port;
mod sessions;
mod settings;
mod sqlite;
mod stale_days;
mod ticks;
mod tokens;
mod users;

pub use self::alert_facts::AlertFactStore;
pub use self::alert_history::{AlertHistoryStore, AlertPage, AlertQuery, MAX_PAGE_ALERTS, StoredAlert};
pub use self::alert_rules::AlertRuleStore;
pub use candles::{CandleQuery, CandleStore, MAX_BEST_CANDLES, MAX_CANDLES, best_candles, settle_candles};
pub use check::{StoreCheck, check};
pub use checkpoints::{Checkpoint, CheckpointStore, DayCompleteness, PartitionBehind, day_completeness};
pub use digests::{Digest, DigestStore, MAX_DIGESTS};
pub use error::LiveStoreError;
pub use feed_circuits::{FeedCircuit, FeedCircuitStore};
pub use gaps::{Gap, GapCause, GapQuery, GapState, GapStore, MAX_GAPS};
pub use key_calls::{
    AlphaVantageAccount, CallPurpose, KeyCall, KeyCallStore, KeyId, KeyLimits, KeyUsage, calls_today,
};
pub use migration::Migration;
pub use news::{
    ArticleId, ArticleIdError, MAX_PAGE_ARTICLES, NewsArticle, NewsPage, NewsQuery, NewsSource, NewsStore,
    OtherOutlet, Relevance,
};
pub use open::{migrate, open, open_alone};
pub use port::{CloseStore, LiveStore, PruneRange, Pruned, SizeStore, StoreSize, TICK_BYTES};
pub use sessions::SessionStore;
pub use settings::{StorePassword, StoreSettings};
pub use stale_days::{StaleDay, StaleDayStore, mark_complete_days};
pub use ticks::{
    MAX_PAGE_TICKS, StoredTick, TickOutcome, TickPage, TickQuery, TickStore, all_ticks_of_day, ticks_of_day,
};
pub use tokens::TokenStore;
pub use users::{MAX_PAGE_USERS, UserStore};

/// Result of this crate.
pub type Result<T, E = LiveStoreError> = std::result::Result<T, E>;
