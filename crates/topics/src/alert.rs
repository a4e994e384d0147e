//! Topic `alerts`: an alert when it opens, and again when it closes, as JSON. Key: the symbol. Records may repeat: the identity with
//! `closed_at` tells them apart. Addresses of recipients are not in it.

use alert_rules::{Alert, AlertId, Owner, RuleId, RuleKind};
use chrono::{DateTime, Utc};
use market::Symbol;
use serde::{Deserialize, Serialize};

use crate::tick::begins_object;

/// The topic.
pub const TOPIC: &str = "alerts";
/// Largest value accepted, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why a record is no alert.
#[derive(Debug, thiserror::Error)]
pub enum AlertDecodeError {
    /// Over [`MAX_BYTES`].
    #[error("the record has {0} bytes, at most {MAX_BYTES} are accepted")]
    TooLarge(usize),
    /// Not an object.
    #[error("the record does not begin with `{{`")]
    NotAnObject,
    /// Not JSON, or a field is missing or of another type; the parser's reason names it.
    #[error("the record is no alert: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// The record, fields in the order of the format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// `rule@revision:symbol:opening tick`.
    pub id: AlertId,
    /// The symbol.
    pub symbol: Symbol,
    /// The rule.
    pub rule: RuleId,
    /// Its revision when the episode opened.
    pub revision: u64,
    /// The owner of the rule: `house`, or `user:` and the identity of a user.
    pub owner: Owner,
    /// What the rule watches, as the fields `kind` and `threshold` (percent, factor, or price).
    #[serde(flatten)]
    pub kind: RuleKind,
    /// The measure that opened it: percent with its sign, factor, or price.
    pub measure: f64,
    /// The furthest measure; of an open episode that of its opening.
    pub peak: f64,
    /// The price of the tick that opened it, in the quote currency.
    pub price: f64,
    /// When it opened, by the tick's own time.
    pub opened_at: DateTime<Utc>,
    /// When it closed, by the tick's own time; `null` while it is open.
    pub closed_at: Option<DateTime<Utc>>,
    /// What happened, in one sentence.
    pub message: String,
    /// The price is invented.
    pub simulated: bool,
    /// The price comes from a recording that was played.
    pub recorded: bool,
}

impl AlertRecord {
    /// The record of an alert.
    pub fn of(alert: &Alert) -> Self {
        let Alert { id, symbol, rule, revision, owner, kind, measure, peak, .. } = alert.clone();
        Self {
            id,
            symbol,
            rule,
            revision,
            owner,
            kind,
            measure,
            peak,
            price: alert.tick.price,
            opened_at: alert.opened_at,
            closed_at: alert.closed_at,
            message: alert.message.clone(),
            simulated: alert.is_simulated,
            recorded: alert.is_recorded,
        }
    }
}

/// The record of an alert as bytes.
pub fn encode(record: &AlertRecord) -> Vec<u8> {
    // No map with odd keys, no failing writer: this cannot fail, and an empty record would be refused by every reader.
    serde_json::to_vec(record).unwrap_or_default()
}

/// Reads a record. Unknown fields are ignored.
///
/// # Errors
/// [`AlertDecodeError`]: the reason that goes with the record to the dead letters.
pub fn decode(payload: &[u8]) -> Result<AlertRecord, AlertDecodeError> {
    if payload.len() > MAX_BYTES {
        return Err(AlertDecodeError::TooLarge(payload.len()));
    }
    // `serde` would accept an array of the values as well.
    if !std::str::from_utf8(payload).is_ok_and(begins_object) {
        return Err(AlertDecodeError::NotAnObject);
    }
    Ok(serde_json::from_slice(payload)?)
}
