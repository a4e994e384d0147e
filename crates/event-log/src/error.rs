//! What can go wrong with the log, in words that say what to do next. No error shows a password.

pub(crate) use connection_url::without_credentials;

/// A failure of the event log.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    /// The URL names no adapter or lacks a part.
    #[error("event log URL `{url}`: {reason}; use kafka://host:9092, kafka+tls://host:9093 or sqlite:path")]
    BadUrl {
        /// The URL without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A record over [`crate::MAX_RECORD_BYTES`]; nothing of its batch was accepted.
    #[error("record {index} of the batch for topic `{topic}` has {size} bytes, the limit is {limit}")]
    RecordTooLarge {
        /// Where it was going.
        topic: String,
        /// Its place in the batch, from 0.
        index: usize,
        /// Key plus payload plus headers, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The topic is not there; `ensure_topics` creates it.
    #[error("topic `{0}` does not exist")]
    UnknownTopic(String),
    /// A topic cannot be created as asked.
    #[error("topic `{topic}` cannot be created: {reason}")]
    BadTopic {
        /// The name asked for.
        topic: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The partition is not there.
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
        "{path} was written by a newer version (format {found}, this one knows {known}); upgrade, or use another --data folder"
    )]
    NewerFormat {
        /// The database file.
        path: String,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// The disk is full; nothing of the batch was stored.
    #[error("no space left on the disk of {path}; nothing of this batch was stored")]
    DiskFull {
        /// The database file.
        path: String,
    },
    /// The folder or file cannot be written or read.
    #[error("{path}: {reason}")]
    Storage {
        /// The database file.
        path: String,
        /// The reason, as the storage engine gives it.
        reason: String,
    },
    /// The broker cannot be reached or did not answer in time; worth another try.
    #[error("kafka at {brokers}: {reason}")]
    Unavailable {
        /// The addresses asked, without credentials.
        brokers: String,
        /// The reason, as the client gives it.
        reason: String,
    },
    /// The broker can be reached and does not let us in: wrong user or password, or TLS that cannot be agreed upon.
    #[error("kafka at {brokers} does not let us in: {reason}")]
    NotAdmitted {
        /// The addresses asked, without credentials.
        brokers: String,
        /// Which part of the URL to look at, and the reason as the client gives it.
        reason: String,
    },
    /// The broker has lost what it had, under a publisher: what it acknowledges may be taken for somebody else's.
    #[error(
        "kafka at {brokers}: {partition} stores at offset {offset} what comes after {before}, so it is another log than \
         before: wiped, or of another cluster; start again, and mend --log (LOG_URL) if another one is meant"
    )]
    BeganAnew {
        /// The addresses, without credentials.
        brokers: String,
        /// The topic and partition.
        partition: String,
        /// Where a record was stored.
        offset: i64,
        /// Where an earlier one had been.
        before: i64,
    },
    /// The broker refused for good.
    #[error("kafka refused: {0}")]
    Refused(String),
    /// The log was closed while the call was under way.
    #[error("the event log is closed")]
    Closed,
}

impl EventLogError {
    /// Whether the same call may succeed later although nobody does anything about it here: the broker is away and will
    /// be back, or its users and certificates are being changed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NotAdmitted { .. })
    }
}
