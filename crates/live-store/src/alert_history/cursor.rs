//! Where a page of alerts ended: the time at which its last alert opened, and its identity.

use alert_rules::{Alert, AlertId};
use chrono::{DateTime, Utc};

use crate::{LiveStoreError, Result};

pub(super) fn encode(last: &Alert) -> String {
    format!("{}.{}", last.opened_at.timestamp_micros(), last.id)
}

pub(super) fn decode(text: &str) -> Result<(DateTime<Utc>, AlertId)> {
    let parsed = text.split_once('.').and_then(|(micros, id)| {
        let opened_at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
        Some((opened_at, AlertId::of_text(id)))
    });
    parsed.ok_or_else(|| LiveStoreError::BadCursor { cursor: text.chars().take(60).collect() })
}
