//! Where the client's own words go: into `tracing`. It does not print settings, so no passwords either.

use rdkafka::{ClientContext, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError};

/// For clients that only ask.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        log_error(&error, reason);
    }
}

impl ConsumerContext for Quiet {}

/// One line of the client.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error
            // A broker that is away is reported for each try; the callers say it once, in better words.
            if facility != "FAIL" =>
        {
            tracing::warn!(facility, "{line}");
        }
        RDKafkaLogLevel::Warning => tracing::warn!(facility, "{line}"),
        _ => tracing::debug!(facility, "{line}"),
    }
}

/// An error that belongs to no call: the client goes on by itself.
pub(crate) fn log_error(error: &KafkaError, reason: &str) {
    let transient = error.rdkafka_error_code().is_some_and(super::failure::is_transient);
    if transient {
        tracing::debug!("{error}: {reason}");
    } else {
        tracing::warn!("{error}: {reason}");
    }
}
