//! Selects the adapter by the scheme of the URL.

use std::sync::Arc;

use crate::{EventLog, EventLogError, Result, error::without_credentials, kafka, sqlite};

/// Opens the log of a URL.
///
/// - `sqlite:path/to/log.db`: embedded, durable, for one process; the file is created if it is missing. `?max_mb=N`
///   limits its size, in MiB.
/// - `kafka://[user:password@]host:9092[,host2:9092][?setting=value&...]`: Kafka; the settings are librdkafka's, and
///   `sasl=plain|scram-sha-256|scram-sha-512`. Does not connect: an unavailable broker or a refused user is reported
///   by the first call.
/// - `kafka+tls://...`: the same over TLS, with `ca=PATH` if the broker's certificate authority is not one of the system's,
///   and `cert=PATH&key=PATH` if the broker requires a client certificate. User and password are percent-encoded.
///
/// Must be called within a Tokio runtime.
///
/// # Errors
/// [`EventLogError::BadUrl`], and for a file [`EventLogError::Locked`], [`EventLogError::NewerFormat`],
/// [`EventLogError::DiskFull`] and [`EventLogError::Storage`].
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

/// Opens the log of a URL read-only: for [`LogAdmin::topics`](crate::LogAdmin::topics), [`EventLog::read`],
/// [`EventLog::lag`] and the like. An embedded log may be in use by another process at the same time.
///
/// # Errors
/// As [`open`]; a missing file is [`EventLogError::Storage`].
pub async fn open_for_reading(url: &str) -> Result<Arc<dyn EventLog>> {
    match url.split_once(':') {
        Some(("sqlite", rest)) => sqlite::read_only::open(rest).await,
        _ => open(url).await,
    }
}
