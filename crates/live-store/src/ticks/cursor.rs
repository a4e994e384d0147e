//! Where a page of ticks ended, as text that a URL carries unescaped. The same for every adapter, because all order
//! ticks alike.

use chrono::{DateTime, Utc};
use market::{Source, Tick};

use crate::{LiveStoreError, Result};

/// The place of a tick in the order (timestamp, source, seq).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cursor {
    pub(crate) timestamp: DateTime<Utc>,
    pub(crate) source: Source,
    pub(crate) seq: u64,
}

impl Cursor {
    pub(crate) fn of(tick: &Tick) -> Self {
        Self { timestamp: tick.timestamp, source: tick.source, seq: tick.seq }
    }

    /// `microseconds.seq.source`; no source name holds a dot.
    pub(crate) fn encode(&self) -> String {
        format!("{}.{}.{}", self.timestamp.timestamp_micros(), self.seq, self.source)
    }

    pub(crate) fn decode(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(|| LiveStoreError::BadCursor {
            cursor: text.chars().take(80).flat_map(char::escape_debug).collect(),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '.');
        let micros = parts.next()?.parse().ok()?;
        let seq = parts.next()?.parse().ok()?;
        let source = Source::parse(parts.next()?).ok()?;
        let cursor = Self { timestamp: DateTime::from_timestamp_micros(micros)?, source, seq };
        // One spelling only: `+5` and `005` parse, but were never handed out.
        (cursor.encode() == text).then_some(cursor)
    }
}
