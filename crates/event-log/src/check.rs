//! Checks of both adapters before they accept a record or a topic.

use bytes::Bytes;

use crate::{EventLogError, MAX_RECORD_BYTES, NewRecord, Result, TopicSpec};

/// Length limit of a topic name in Kafka, in bytes.
const MAX_TOPIC_NAME_BYTES: usize = 249;
/// Limit of partitions, so that a typing error does not create a million.
const MAX_PARTITIONS: i32 = 10_000;

/// Key, payload and headers together, in bytes.
pub(crate) fn size(key: Option<&[u8]>, payload: &[u8], headers: &[(String, Bytes)]) -> usize {
    let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    key.map_or(0, <[u8]>::len) + payload.len() + headers
}

/// Size of a record: key, payload and headers together, in bytes.
pub(crate) fn record_bytes(record: &NewRecord) -> usize {
    size(record.key.as_deref(), &record.payload, &record.headers)
}

/// Refuses a batch that has a record over the size limit.
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

/// Refuses topics that Kafka would refuse, so that every topic of the embedded log can be created in Kafka.
pub(crate) fn check_spec(spec: &TopicSpec) -> Result<()> {
    let name = spec.name.as_str();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let reason = if name.is_empty() || name == "." || name == ".." {
        "the name is empty, `.` or `..`".to_owned()
    } else if name.len() > MAX_TOPIC_NAME_BYTES {
        format!("the name is longer than {MAX_TOPIC_NAME_BYTES} bytes")
    } else if !name.chars().all(legal) {
        "the name may contain only ASCII letters, digits, `.`, `_` and `-`".to_owned()
    } else if !(1..=MAX_PARTITIONS).contains(&spec.partitions) {
        format!("{} partitions are not between 1 and {MAX_PARTITIONS}", spec.partitions)
    } else {
        return Ok(());
    };
    Err(EventLogError::BadTopic { topic: name.to_owned(), reason })
}
