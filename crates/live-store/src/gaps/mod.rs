//! Gaps: times in which a feed may lack trades of a symbol, and what became of them.

pub(crate) mod mongo;
pub(crate) mod sqlite;

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use market::{Source, Symbol};

use crate::Result;

/// The most gaps that are read at once.
pub const MAX_GAPS: usize = 1_000;

/// A time in which trades of a symbol may be missing from one feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The feed.
    pub source: Source,
    /// What was traded.
    pub symbol: Symbol,
    /// The last data before it, in whole milliseconds as the other times.
    pub from: DateTime<Utc>,
    /// The first data after it.
    pub to: DateTime<Utc>,
    /// How it was detected.
    pub cause: GapCause,
    /// How many trades are missing, where the venue's ids show it.
    pub missing_trades: Option<u64>,
    /// When it was detected.
    pub detected_at: DateTime<Utc>,
    /// What became of it.
    pub state: GapState,
}

/// How a gap was detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The connection was closed, or brought no data.
    Disconnect,
    /// The producer did not run.
    Restart,
    /// The venue's ids of trades are contiguous, and some were left out.
    SkippedIds,
    /// The event log took nothing for a while: trades were dropped, and counted.
    Dropped,
}

/// What became of a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GapState {
    /// Not repaired yet.
    Open,
    /// The venue's candles of its minutes are stored.
    Repaired {
        /// Since when.
        at: DateTime<Utc>,
    },
    /// It is not repaired by itself; the reason, for people.
    Unrepaired {
        /// For people.
        reason: String,
    },
}

impl GapCause {
    const ALL: [Self; 4] = [Self::Disconnect, Self::Restart, Self::SkippedIds, Self::Dropped];

    /// Its name in the stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Restart => "restart",
            Self::SkippedIds => "skipped_ids",
            Self::Dropped => "dropped",
        }
    }

    fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|cause| cause.name() == name);
        found.ok_or_else(|| format!("cause: `{}` is none", name.escape_debug()))
    }
}

impl fmt::Display for GapCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnect => "no connection",
            Self::Restart => "not running",
            Self::SkippedIds => "ids left out",
            Self::Dropped => "dropped here",
        })
    }
}

/// The columns of a state.
struct StateColumns {
    repaired_at: Option<DateTime<Utc>>,
    reason: Option<String>,
}

impl From<&GapState> for StateColumns {
    fn from(state: &GapState) -> Self {
        match state {
            GapState::Open => Self { repaired_at: None, reason: None },
            GapState::Repaired { at } => Self { repaired_at: Some(*at), reason: None },
            GapState::Unrepaired { reason } => Self { repaired_at: None, reason: Some(reason.clone()) },
        }
    }
}

impl From<StateColumns> for GapState {
    fn from(columns: StateColumns) -> Self {
        match (columns.repaired_at, columns.reason) {
            (Some(at), _) => Self::Repaired { at },
            (None, Some(reason)) => Self::Unrepaired { reason },
            (None, None) => Self::Open,
        }
    }
}

/// Which gaps to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GapQuery {
    /// Of this symbol; of all without it.
    pub symbol: Option<Symbol>,
    /// That end at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Only those that are not repaired.
    pub is_unrepaired: bool,
}

/// The store of gaps.
///
/// # Contract
/// A gap is identified by its source, its symbol and its start. What is recorded again replaces what was recorded, except that a
/// repaired gap stays repaired.
#[async_trait]
pub trait GapStore: Send + Sync {
    /// Records gaps.
    async fn record_gaps(&self, gaps: &[Gap]) -> Result<()>;

    /// The newest gaps, newest first, at most [`MAX_GAPS`].
    async fn gaps(&self, query: &GapQuery) -> Result<Vec<Gap>>;

    /// Removes gaps that ended before `before`. Returns how many.
    async fn prune_gaps(&self, before: DateTime<Utc>) -> Result<u64>;
}
