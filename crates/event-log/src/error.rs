//! Errors of the log. Each message names the next step; none contains a password.

pub(crate) use connection_url::without_credentials;

/// A failure of the event log.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    /// The URL names no adapter, or is incomplete.
    #[error("event log URL `{url}`: {reason}; use kafka://host:9092, kafka+tls://host:9093 or sqlite:path")]
    BadUrl {
        /// The URL without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A record over [`crate::MAX_RECORD_BYTES`]; no record of its batch was accepted.
    #[error("record {index} of the batch for topic `{topic}` has {size} bytes, the limit is {limit}")]
    RecordTooLarge {
        /// The topic that it was sent to.
        topic: String,
        /// Its index in the batch, from 0.
        index: usize,
        /// Key plus payload plus headers, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The topic does not exist; `ensure_topics` creates it.
    #[error("topic `{0}` does not exist")]
    UnknownTopic(String),
    /// The topic cannot be created with these settings.
    #[error("topic `{topic}` cannot be created: {reason}")]
    BadTopic {
        /// The requested name.
        topic: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The partition does not exist.
    #[error("partition {partition} of topic `{topic}` does not exist")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Another process has the embedded log open.
    #[error("{path} is in use by another instance; stop it, or choose another --data folder")]
    Locked {
        /// The database file.
        path: String,
    },
    /// The database was written by a newer version.
    #[error(
        "{path} was written by a newer version (format {found}, this version supports up to {known}); upgrade, or use another --data folder"
    )]
    NewerFormat {
        /// The database file.
        path: String,
        /// Its format.
        found: i64,
        /// The newest supported format.
        known: i64,
    },
    /// The disk is full. Records wait for space; a call that does not wait stored nothing. Transient.
    #[error("no space left on the disk of {path}; make room, records wait for it")]
    DiskFull {
        /// The database file.
        path: String,
    },
    /// The folder or file cannot be written or read.
    #[error("{path}: {reason}")]
    Storage {
        /// The database file.
        path: String,
        /// The reason, as reported by the storage engine.
        reason: String,
    },
    /// The broker cannot be reached or did not respond in time. Transient.
    #[error("kafka at {brokers}: {reason}")]
    Unavailable {
        /// The addresses of the brokers, without credentials.
        brokers: String,
        /// The reason, as reported by the client.
        reason: String,
    },
    /// The broker can be reached and denies access: wrong user or password, or incompatible TLS settings.
    #[error("kafka at {brokers} denies access: {reason}")]
    AccessDenied {
        /// The addresses of the brokers, without credentials.
        brokers: String,
        /// The part of the URL to check, and the reason as reported by the client.
        reason: String,
    },
    /// The broker has lost its records while a publisher was connected. It may acknowledge further records of this publisher
    /// without storing them, taking them for duplicates of another producer's records.
    #[error(
        "kafka at {brokers}: {partition} stored a record at offset {offset} after one at {before}, so this is not the log that \
         it was before: wiped, or of another cluster; restart the service, and change --log (LOG_URL) if another log is meant"
    )]
    LogReplaced {
        /// The addresses of the brokers, without credentials.
        brokers: String,
        /// The topic and partition.
        partition: String,
        /// Offset of the record.
        offset: i64,
        /// Offset of an earlier record of this publisher.
        before: i64,
    },
    /// The broker refused the request. Not transient.
    #[error("kafka refused: {0}")]
    Refused(String),
    /// The log was closed during the call.
    #[error("the event log is closed")]
    Closed,
}

impl EventLogError {
    /// Whether the same call may succeed later without a change on this side: the broker is unavailable, its users and
    /// certificates are being changed, or the disk of the embedded log is full.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::AccessDenied { .. } | Self::DiskFull { .. })
    }
}
