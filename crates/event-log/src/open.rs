//! The one place that knows which URL means which adapter.

use std::sync::Arc;

use crate::{EventLog, EventLogError, Result, error::without_credentials, kafka, sqlite};

/// Opens the log behind a URL.
///
/// - `sqlite:path/to/log.db`: embedded, durable, for one process; made where it is missing. `?max_bytes=N` bounds the
///   file.
/// - `kafka://[user:password@]host:9092[,host2:9092][?setting=value&...]`: Kafka; the settings are librdkafka's, and
///   `sasl=plain|scram-sha-256|scram-sha-512`. Nothing is connected yet: a broker that is away, or lets nobody in, shows
///   at the first call.
/// - `kafka+tls://...`: the same over TLS, with `ca=PATH` where the system does not know the broker's authority, and
///   `cert=PATH&key=PATH` where the broker asks for a certificate of ours. User and password are percent-encoded.
///
/// Must be called within a Tokio runtime.
///
/// # Errors
/// [`EventLogError::BadUrl`], and what opening the file can meet: [`EventLogError::Locked`],
/// [`EventLogError::NewerFormat`], [`EventLogError::DiskFull`], [`EventLogError::Storage`].
pub async fn open(url: &str) -> Result<Arc<dyn EventLog>> {
    match url.split_once(':') {
        Some(("sqlite", rest)) => sqlite::open(rest).await,
        Some(("kafka", rest)) => kafka::open(rest, false),
        Some(("kafka+tls", rest)) => kafka::open(rest, true),
        _ => Err(EventLogError::BadUrl {
            url: without_credentials(url),
            reason: "no adapter of that name".to_owned(),
        }),
    }
}

/// Opens the log behind a URL for [`EventLog::topics`], [`EventLog::read`] and [`EventLog::lag`] only. An embedded log may
/// be in use by another process meanwhile.
///
/// # Errors
/// As [`open`], and a file that is not there.
pub async fn open_for_reading(url: &str) -> Result<Arc<dyn EventLog>> {
    match url.split_once(':') {
        Some(("sqlite", rest)) => sqlite::read_only::open(rest).await,
        _ => open(url).await,
    }
}
