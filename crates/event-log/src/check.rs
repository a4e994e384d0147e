//! What both adapters refuse before anything is accepted.

use bytes::Bytes;

use crate::{EventLogError, MAX_RECORD_BYTES, NewRecord, Result, TopicSpec};

/// Longest topic name that Kafka takes, in bytes.
const MAX_TOPIC_NAME_BYTES: usize = 249;
/// More partitions than anybody needs here; a typing error must not create a million.
const MAX_PARTITIONS: i32 = 10_000;

/// Key, payload and headers together, in bytes.
pub(crate) fn size(key: Option<&[u8]>, payload: &[u8], headers: &[(String, Bytes)]) -> usize {
    let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    key.map_or(0, <[u8]>::len) + payload.len() + headers
}

/// That of a record.
pub(crate) fn record_bytes(record: &NewRecord) -> usize {
    size(record.key.as_deref(), &record.payload, &record.headers)
}

/// Refuses a batch with a record that is too large.
pub(crate) fn check_records(topic: &str, records: &[NewRecord]) -> Result<()> {
    match records.iter().map(record_bytes).enumerate().find(|(_, size)| *size > MAX_RECORD_BYTES) {
        None => Ok(()),
        Some((index, size)) => Err(EventLogError::RecordTooLarge {
            topic: topic.to_owned(),
            index,
            size,
            limit: MAX_RECORD_BYTES,
        }),
    }
}

/// Refuses what Kafka would refuse, so that a topic of the embedded log can move there.
pub(crate) fn check_spec(spec: &TopicSpec) -> Result<()> {
    let name = spec.name.as_str();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let reason = if name.is_empty() || name == "." || name == ".." {
        "it has no usable name".to_owned()
    } else if name.len() > MAX_TOPIC_NAME_BYTES {
        format!("the name is longer than {MAX_TOPIC_NAME_BYTES} bytes")
    } else if !name.chars().all(legal) {
        "the name may hold ASCII letters, digits, `.`, `_` and `-` only".to_owned()
    } else if !(1..=MAX_PARTITIONS).contains(&spec.partitions) {
        format!("{} partitions are not between 1 and {MAX_PARTITIONS}", spec.partitions)
    } else {
        return Ok(());
    };
    Err(EventLogError::BadTopic { topic: name.to_owned(), reason })
}
